"""How files with secrets are refused."""

from headwater.kernel import HeadwaterError, Kind


class SecretsFound(HeadwaterError):
    """The commit or push as a whole is refused; ``mark`` names the first secret to those who may let it through."""

    code = "secrets_found"
    kind = Kind.UNPROCESSABLE

    def __init__(self, path: str, line: int, secret: str, mark: str, others: int = 0) -> None:
        self.path, self.line, self.mark = path, line, mark
        more = f" {others} more were found." if others else ""
        super().__init__(
            f"{path!r} holds what looks like a secret in line {line}: {secret} (mark {mark[:8]}). Anyone could read it here, so nothing was stored.{more} "
            "Take it out of every commit that you push, and end it where it was made. If it may be public, an administrator of "
            "the repository can let it through with a reason: Settings, Secrets."
        )


class SecretsNotLooked(HeadwaterError):
    """Nothing goes in unlooked, in private repositories neither: a token of this site that stands there has to end."""

    code = "secrets_not_looked"
    kind = Kind.UNPROCESSABLE

    def __init__(self) -> None:
        super().__init__(
            "Looking for secrets in what you sent takes too long, or it holds more tokens of this site than can be ended at once. "
            "Nothing was stored. Send fewer small files at a time, or large ones as LFS files."
        )


class SecretNotFound(HeadwaterError):
    code = "secret_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("No such secret was found in a push to this repository, or it was let through already.")


class SecretReasonMissing(HeadwaterError):
    code = "secret_reason_missing"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__("Say in 10 to 1,000 characters why this may be public; the reason is recorded.")
