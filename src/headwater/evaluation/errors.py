"""How acts on evaluations may be refused."""

from headwater.kernel import HeadwaterError, Kind


class EvaluationNotFound(HeadwaterError):
    code = "evaluation_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__(
            "There is no such evaluation, or you may not see it. A run of kind evaluate becomes one when it ends well."
        )
