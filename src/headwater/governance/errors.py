"""How acts of governance may be refused."""

from headwater.kernel import HeadwaterError, Kind


class UnknownCriterion(HeadwaterError):
    code = "unknown_criterion"
    kind = Kind.BAD_INPUT

    def __init__(self, criterion: str, known: list[str]) -> None:
        super().__init__(f"{criterion[:60]!r} is no criterion of this repository. They are: {', '.join(known)}.")


class BadOverride(HeadwaterError):
    code = "bad_override"
    kind = Kind.UNPROCESSABLE

    def __init__(self, why: str) -> None:
        super().__init__(f"The decision was not taken down: {why}.")


class OverrideNotFound(HeadwaterError):
    code = "override_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__(
            "This repository has no such decision in force. Its page 'openness' lists those that there are."
        )


class UnknownLicence(HeadwaterError):
    code = "unknown_licence"
    kind = Kind.NOT_FOUND

    def __init__(self, key: str) -> None:
        super().__init__(f"No licence is known here as {key[:80]!r}. GET /api/v1/licences lists those that are.")
