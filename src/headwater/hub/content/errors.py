"""How commits through the API, and what belongs to them, may be refused."""

from headwater.hub.errors import FileNotFound
from headwater.kernel import HeadwaterError, Kind


class BadCommitBody(HeadwaterError):
    """The lines of a commit request cannot be understood."""

    code = "bad_commit_body"
    kind = Kind.BAD_INPUT

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"Line {line} of the commit cannot be used: {why}. Nothing was committed.")


class InlineFileTooLarge(HeadwaterError):
    code = "inline_file_too_large"
    kind = Kind.TOO_LARGE

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"A file inside the commit is larger than {limit_bytes // 1_000_000} MB. "
            "Upload it as a large file (lfsFile) and name it by its digest."
        )


class NothingToDelete(FileNotFound):
    """A commit deletes what is not there."""

    def __init__(self, path: str, commit: str | None = None) -> None:
        super().__init__(path, commit)
        # huggingface_hub matches "A file with this name doesn't exist".
        self.message = f"A file with this name doesn't exist: {path!r}. Nothing was committed."
        self.args = (self.message,)


class CannotDeleteBranch(HeadwaterError):
    code = "cannot_delete_branch"
    kind = Kind.NOT_ALLOWED

    def __init__(self, ref: str) -> None:
        super().__init__(f"Cannot delete {ref}: it is the default branch.")  # the client's suite matches the beginning


class BadParameter(HeadwaterError):
    """A value in a query or a body is of the wrong type, or not known."""

    code = "bad_parameter"
    kind = Kind.BAD_INPUT

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key!r} cannot be used: {why}.")
