"""Why a site may not be moved."""

from headwater.kernel import HeadwaterError, Kind


class NothingToMove(HeadwaterError):
    code = "nothing_to_move"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} Nothing was changed.")


class MoveTaken(HeadwaterError):
    code = "move_target_taken"
    kind = Kind.CONFLICT

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} already holds a site, which is not on its way there from here. Name an empty database; nothing was changed."
        )


class MoveIncomplete(HeadwaterError):
    code = "move_incomplete"
    kind = Kind.UNPROCESSABLE

    def __init__(self, missing: list[str]) -> None:
        shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        super().__init__(
            f"{len(missing)} objects that the database names are not at the site's place, or are not what they should be: {shown}. "
            "The site goes on where it is. Put them back from a backup, and run this again."
        )


class MoveFailed(HeadwaterError):
    code = "move_failed"
    kind = Kind.CONFLICT

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} The site goes on where it is; run this again.")


class SiteRuns(HeadwaterError):
    code = "site_runs"
    kind = Kind.CONFLICT

    def __init__(self, n_connections: int) -> None:
        super().__init__(
            f"The site is in use ({n_connections} connections). A site in PostgreSQL can be moved only while it is stopped: "
            "stop it on every host, then run this again."
        )
