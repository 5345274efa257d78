"""How acts of the LFS protocol may be refused."""

from headwater.kernel import HeadwaterError, Kind


class BadLfsRequest(HeadwaterError):
    code = "bad_lfs_request"
    kind = Kind.UNPROCESSABLE

    def __init__(self, why: str) -> None:
        super().__init__(f"The LFS request was refused: {why}.")


class LocksNotServed(HeadwaterError):
    """git-lfs goes on without locks after this."""

    code = "locks_not_served"
    kind = Kind.NOT_SERVED

    def __init__(self) -> None:
        super().__init__(
            "This server does not serve LFS file locks; pushes work without. "
            "`git config lfs.locksverify false` spares git-lfs the question."
        )


class PartsMissing(HeadwaterError):
    code = "parts_missing"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__("Not every part of this upload has arrived here whole. Nothing was stored; upload it again.")


class PartsStillArriving(HeadwaterError):
    code = "parts_still_arriving"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("A part of this upload is still being received. Complete it when all parts are answered.")


class TooManyOpenUploads(HeadwaterError):
    code = "too_many_open_uploads"
    kind = Kind.TOO_MANY

    def __init__(self, n_open: int, most: int) -> None:
        super().__init__(
            f"You have begun {n_open} uploads of large files that are not finished, and at most {most} may be open. "
            "Finish them, or come back later: what nobody finishes is given up after two days.",
            headers={"Retry-After": "3600"},
        )


class NotUploaded(HeadwaterError):
    code = "not_uploaded"
    kind = Kind.NOT_FOUND

    def __init__(self, sha256: str) -> None:
        super().__init__(f"The object {sha256} was not uploaded here. Upload it again.")
