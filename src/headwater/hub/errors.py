"""How acts on repositories may be refused. Codes are listed in docs/errors.md."""

from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import HeadwaterError, Kind


class RepositoryNotFound(HeadwaterError):
    """Absent, or hidden from this actor: the same text for both."""

    code = "repository_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        # huggingface_hub's own suite compares whole messages: no more text than the client already prints.
        super().__init__("Repository not found")


class RevisionNotFound(HeadwaterError):
    code = "revision_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, revision: str) -> None:
        super().__init__(f"Invalid rev id: {revision}")  # the client matches "Invalid rev id"


class AmbiguousRevision(HeadwaterError):
    code = "ambiguous_revision"
    kind = Kind.BAD_INPUT

    def __init__(self, revision: str) -> None:
        super().__init__(f"{revision!r} begins the id of several commits. Give more digits.")


class FileNotFound(HeadwaterError):
    code = "file_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, path: str, commit: str | None = None) -> None:
        super().__init__(
            f"Entry not found: {path!r} does not exist at this revision.",
            headers={"X-Repo-Commit": commit} if commit else None,
        )


class NameTaken(HeadwaterError):
    code = "name_taken"
    kind = Kind.CONFLICT

    def __init__(self, kind: RepoKind, name: RepoName, *, url: str | None = None) -> None:
        self.url = url
        super().__init__(f"You already created this {kind.value} repo: {name} is already used")


class BadName(HeadwaterError):
    code = "bad_name"
    kind = Kind.BAD_INPUT

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name!r} cannot be used: {why}")


class BadPath(HeadwaterError):
    code = "bad_path"
    kind = Kind.BAD_INPUT

    def __init__(self, path: str, why: str) -> None:
        shown = path if len(path) <= 200 else path[:200] + "…"
        super().__init__(f"{shown!r} cannot be a file's path: {why}")


class HeadMoved(HeadwaterError):
    """The branch is no longer where the writer thought."""

    code = "head_moved"
    kind = Kind.PRECONDITION_FAILED

    def __init__(self, ref: str, now_at: str | None) -> None:
        self.ref = ref
        super().__init__(f"{ref} has moved and is now at {now_at}. Fetch, then commit on top of it.")


class RefExists(HeadwaterError):
    code = "ref_exists"
    kind = Kind.CONFLICT

    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(f"Reference {ref} already exists")  # matched by the client's suite


class BlobNotStored(HeadwaterError):
    """A commit or pointer names bytes that this repository has no right to, or that are not here: the same answer."""

    code = "blob_not_stored"
    kind = Kind.BAD_INPUT

    def __init__(self, sha256: str, path: str = "") -> None:
        where = f" (for {path!r})" if path else ""
        super().__init__(f"The large file {sha256}{where} was not uploaded to this repository. Upload it, then commit.")
