"""The head of every page of a repository: its name, tags, the strip of five facts, tabs. Loaded by a constant number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from headwater import accounts, ledger
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, cards, gate
from headwater.hub.cards import Card
from headwater.hub.community import Status, likes
from headwater.hub.community.store import discussions as discussion_store
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.pages import addresses, marks
from headwater.kernel import Actor, HeadwaterError, Kind

SHOWN_TAGS = 24
_HIDDEN_TAG_PREFIXES = ("region:", "base_model:", "dataset:", "license:", "arxiv:", "doi:")


@dataclass(frozen=True)
class Tag:
    label: str
    href: str


@dataclass(frozen=True)
class Strip:
    """The five facts. None stands for "not known", which is what a page then says, in grey."""

    openness: marks.Grade | None
    openness_href: str
    licence: str | None
    licence_href: str
    n_files: int | None
    files_href: str
    n_held: int
    is_judged: bool
    made_by: marks.Made | None
    made_from: tuple[str, ...]
    made_href: str
    n_entries: int
    record_href: str


@dataclass(frozen=True)
class Head:
    """``tab`` is the current one; counts are None where they are not known."""

    repo: Repository
    tab: str
    tags: tuple[Tag, ...]
    n_more_tags: int
    strip: Strip
    n_files: int | None
    discussions: dict[tuple[bool, str], int]  # (is it a pull request, status) to how many
    has_liked: bool
    may_discuss: bool
    may_write: bool
    may_admin: bool
    gate: str  # "" open to this reader, "ask", "asked", "sign_in"
    card: Card | None

    @property
    def href(self) -> str:
        return addresses.repository(self.repo)

    @property
    def n_discussions(self) -> int:
        """Discussions and pull requests that still ask for attention."""
        return sum(n for (_, state), n in self.discussions.items() if Status(state).is_live)

    @property
    def section(self) -> str:
        return self.repo.kind.plural

    @property
    def more_tabs(self) -> list[marks.MoreTab]:
        return [tab for tab in marks.MORE_TABS if self.repo.kind in tab.kinds]

    def at(self, view: str, revision: str, path: str = "") -> str:
        return addresses.at(self.repo, view, revision, path)

    def of(self, view: str) -> str:
        return addresses.of(self.repo, view)


class Moved(HeadwaterError):
    """Asked for by a former name; the page's door answers with a redirect."""

    code = "moved"
    kind = Kind.GONE

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        super().__init__(f"This repository is now called {repo.name}.")


def name_of(request: Request) -> tuple[RepoKind, RepoName]:
    """Which repository an address names."""
    values = request.path_params
    return addresses.kind_of(request.url.path), RepoName(values["ns"], values["name"])


def find_head(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, tab: str, action: Action = Action.READ) -> Head:
    """Raises: RepositoryNotFound and the other refusals of ``get_repository``; Moved."""
    repo = access.get_repository(tx, actor, kind, name, action)
    if repo.name != name:
        raise Moved(repo)
    card = cards.find_card(tx, repo.id)
    tags = tuple(_tags(repo, card))
    data = card.data if card is not None else {}
    safety = gate.repository_security(tx, repo.id)
    n_held = sum(not each.is_released for each in safety.held)
    n_files = card.n_files if card is not None and card.commit == repo.head_commit else None
    made_by = marks.made_by(tx, actor, repo)
    return Head(
        repo=repo,
        tab=tab,
        tags=tags[:SHOWN_TAGS],
        n_more_tags=max(0, len(tags) - SHOWN_TAGS),
        strip=Strip(
            openness=marks.grades_of(tx, [repo.id]).get(repo.id),
            openness_href=addresses.of(repo, "openness"),
            licence=licence_of(data),
            licence_href=addresses.at(repo, "blob", repo.default_branch, "README.md"),
            n_files=n_files,
            files_href=addresses.of(repo, "safety") if n_held else addresses.at(repo, "tree", repo.default_branch),
            n_held=n_held,
            is_judged=safety.is_done,
            made_by=made_by,
            made_from=tuple(_texts(data.get("base_model")) + _texts(data.get("datasets")))[:3],
            made_href=made_by.href if made_by else addresses.at(repo, "commits", repo.default_branch),
            n_entries=ledger.count_entries(tx, repo_id=repo.id),
            record_href=addresses.of(repo, "record"),
        ),
        n_files=n_files,
        discussions=discussion_store.count_by_state(tx, repo.id),
        has_liked=likes.has_liked(tx, actor, repo.id),
        may_discuss=accounts.allows(tx, actor, Action.DISCUSS, on=repo.resource),
        may_write=accounts.allows(tx, actor, Action.WRITE, on=repo.resource),
        may_admin=accounts.allows(tx, actor, Action.ADMIN, on=repo.resource),
        gate=_gate(tx, actor, repo),
        card=card,
    )


def licence_of(data: Any) -> str | None:
    """What a card's front matter says of the licence: its id, or the name it gives an own one."""
    found = data.get("license") if data else None
    if isinstance(found, list):
        found = ", ".join(str(each) for each in found)
    if found == "other":
        found = data.get("license_name") or found
    return str(found) if found else None


def _gate(tx: Tx, actor: Actor, repo: Repository) -> str:
    if not repo.gated:
        return ""
    try:
        accounts.require(tx, actor, Action.READ_FILES, on=repo.resource)
    except accounts.GateClosed as refusal:
        return "sign_in" if not refusal.signed_in else "asked" if refusal.asked else "ask"
    return ""


def _tags(repo: Repository, card: Card | None) -> list[Tag]:
    if card is None:
        return []
    found = []
    for tag in card.tags:
        if tag.startswith(_HIDDEN_TAG_PREFIXES):
            continue
        found.append(Tag(tag.partition(":")[2] or tag, addresses.with_query(f"/{repo.kind.plural}", filter=tag)))
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value if isinstance(each, str)] if isinstance(value, list) else []


def moved_to(request: Request, repo: Repository) -> str:
    """The present address of what ``request`` asked for under a former name."""
    segments = request.url.path.split("/")
    start = 3 if repo.kind is RepoKind.MODEL else 4
    rest = "/".join(segments[start:])
    address = f"/{repo.path}/{rest}" if rest else f"/{repo.path}"
    return f"{address}?{request.url.query}" if request.url.query else address
