"""How acts on accounts may be refused."""

from headwater.kernel import HeadwaterError, Kind


class NotAllowed(HeadwaterError):
    """The thing may be seen, the act may not be done."""

    code = "not_allowed"
    kind = Kind.NOT_ALLOWED


class NotSignedIn(HeadwaterError):
    code = "not_signed_in"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self, message: str = "This needs a signed-in person. Sign in, or send a token.") -> None:
        super().__init__(message)


class BadCredential(HeadwaterError):
    """A token or password that is wrong, expired or revoked. Which of these is not told."""

    code = "bad_credential"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self) -> None:
        # huggingface_hub matches this text exactly (utils/_http.py) to tell a bad token from a missing repository.
        super().__init__("Invalid credentials in Authorization header")


class Hidden(HeadwaterError):
    """``actor`` may not know that the thing exists; callers turn this into their own "not found"."""

    code = "hidden"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such thing here, or you may not see it.")


class GateClosed(HeadwaterError):
    """The repository is visible, its files need access that has not been granted."""

    code = "gate_closed"
    kind = Kind.NOT_ALLOWED

    def __init__(self, *, asked: bool, signed_in: bool) -> None:
        self.asked, self.signed_in = asked, signed_in
        super().__init__("Access to the files is granted on request.")
