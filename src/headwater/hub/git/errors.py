"""How acts on git data may be refused."""

from headwater.kernel import HeadwaterError, Kind


class RefInTheWay(HeadwaterError):
    """Git keeps refs as files did: ``a`` and ``a/b`` cannot both be."""

    code = "ref_in_the_way"
    kind = Kind.CONFLICT

    def __init__(self, ref: str, other: str) -> None:
        self.ref = ref
        super().__init__(f"{ref} cannot be made while {other} exists. Choose another name, or delete that one first.")


class DefaultBranchStays(HeadwaterError):
    code = "default_branch_stays"
    kind = Kind.CONFLICT

    def __init__(self, branch: str) -> None:
        super().__init__(
            f"{branch} is the default branch and cannot be deleted. Make another branch the default first."
        )


class RepositoryPruned(HeadwaterError):
    """Objects were removed while an act that may rely on them was under way; doing the act again is safe."""

    code = "repository_pruned"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("The repository was pruned at the same moment. Nothing was stored; try again.")


class ObjectTooLarge(HeadwaterError):
    code = "object_too_large"
    kind = Kind.TOO_LARGE

    def __init__(self, path: str, size_bytes: int, limit_bytes: int) -> None:
        self.path = path
        super().__init__(
            f"{path!r} has {size_bytes:,} bytes; files above {limit_bytes // 1_000_000} MB belong in git LFS. "
            f"Run `git lfs migrate import --include={path!r}` (or `git lfs track` and commit again), then push."
        )


class PushTooLarge(HeadwaterError):
    code = "push_too_large"
    kind = Kind.TOO_LARGE

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The push holds more than {limit_bytes:,} bytes. Push fewer commits at a time, and large files by git LFS."
        )


class BadPush(HeadwaterError):
    """What arrived is not a push git could have made, or is broken."""

    code = "bad_push"
    kind = Kind.BAD_INPUT


class BadPktLine(HeadwaterError):
    code = "bad_pkt_line"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"The request is not in git's packet format: {why}. Nothing was stored.")


class PathInTheWay(HeadwaterError):
    code = "path_in_the_way"
    kind = Kind.BAD_INPUT

    def __init__(self, path: str, other: str) -> None:
        super().__init__(
            f"{path!r} cannot be written: {other!r} is a file. Delete or move it in the same commit first."
        )


class RefNotTaken(HeadwaterError):
    """Why one command of a push is refused; the others may still be done."""

    code = "ref_not_taken"
    kind = Kind.BAD_INPUT
