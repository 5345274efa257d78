"""How acts on whole repositories may be refused."""

from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import HeadwaterError, Kind


class TargetTaken(HeadwaterError):
    """A repository cannot move onto a name that is in use, or that still leads on to another one."""

    code = "target_taken"
    kind = Kind.CONFLICT

    def __init__(self, kind: RepoKind, name: RepoName) -> None:
        # huggingface_hub's suite matches "A model repository called ... already exists".
        super().__init__(f"A {kind.value} repository called {name} already exists")


class NameLeadsOn(HeadwaterError):
    """A former name of a repository that was moved: it keeps leading there, so nobody can take its readers over."""

    code = "name_leads_on"
    kind = Kind.CONFLICT

    def __init__(self, kind: RepoKind, name: RepoName) -> None:
        super().__init__(
            f"{name} is a former name of another {kind.value} repository and leads on to it. Choose another name."
        )


class BadSetting(HeadwaterError):
    code = "bad_repository_setting"
    kind = Kind.BAD_INPUT

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key} cannot be {value!r}; it may be {allowed}.")
