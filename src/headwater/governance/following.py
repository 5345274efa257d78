"""What a repository names, and what is there of it for everyone: links of its card and its code, followed one step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headwater.db import Tx
from headwater.governance import reading, store
from headwater.governance.facts import CODE, DATASET, MODEL, Linked
from headwater.governance.models import Link
from headwater.hub.cards import Card
from headwater.hub.models import Repository
from headwater.hub.names import parse_repo_name
from headwater.kernel import ANONYMOUS, HeadwaterError, RepoId

MAX_LINKS = 200


def links_of(card: Card, code: Iterable[tuple[str, str, str]] = ()) -> list[Link]:
    """What a card names, in its order: what it was made of, trained and evaluated on, and the code."""
    data = card.data
    found: list[Link] = []
    relation = str(data.get("base_model_relation") or "")[:16]
    base = relation or _guessed(card)
    found += [Link("derived", base, MODEL, name) for name in names_in(data.get("base_model"))]
    found += [Link("data", "trained_on", DATASET, name) for name in names_in(data.get("datasets"))]
    found += [Link("derived", "source", DATASET, name) for name in names_in(data.get("source_datasets"))]
    found += [Link("outputs", "generated_by", MODEL, name) for name in names_in(data.get("generated_by"))]
    found += [Link("evaluation_data", "evaluated_on", DATASET, name) for name in reading.results_of_card(data)[1]]
    found += [Link("uses", "uses", MODEL, name) for name in names_in(data.get("models"))]
    found += [Link(role, "code", CODE, name, pinned) for role, name, pinned in code]
    return list(dict.fromkeys(found))[:MAX_LINKS]


def _guessed(card: Card) -> str:
    for tag in card.tags:
        if tag.startswith("base_model:") and tag.count(":") > 1:
            return tag.split(":")[1][:16]
    return "finetune"


def names_in(value: Any) -> list[str]:
    """Names of repositories; what is a word of another vocabulary, such as "original", is none."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [each.strip() for each in texts if isinstance(each, str) and 0 < len(each.strip()) <= 190 and "/" in each][
        :50
    ]


def follow(tx: Tx, links: Sequence[Link]) -> tuple[list[tuple[Linked, Repository | None]], list[RepoId]]:
    """Each link as everybody sees it, with what the repository's own evidence says; and those that have none yet."""
    here = store.resolve(tx, ANONYMOUS, {(link.kind, link.key) for link in links})
    ids = [repo.id for repo in here.values()]
    grades, values = store.get_grades(tx, ids), store.values_of_many(tx, ids)
    are_open = store.licences_of_many(tx, ids)
    found: list[tuple[Linked, Repository | None]] = []
    for link in links:
        repo = here.get((link.kind, link.key))
        role = _role_of(link)
        if repo is None or repo.head_commit is None:
            found.append((Linked(role, link.kind, link.name, pinned=link.pinned), None))
            continue
        grade = grades.get(repo.id)
        linked = Linked(
            role=role,
            kind=link.kind,
            name=str(repo.name),
            is_here=True,
            path=repo.path,
            commit=str(repo.head_commit),
            pinned=link.pinned,
            is_gated=bool(repo.gated),
            licence=grade.licences[0] if grade is not None and grade.licences else "",
            is_open_licence=are_open.get(repo.id, False),
            roles=grade.roles if grade is not None else frozenset(),
            values=values.get(repo.id, {}),
        )
        found.append((linked, repo))
    return found, [repo.id for repo in here.values() if repo.id not in grades and repo.head_commit is not None]


def _role_of(link: Link) -> str:
    if link.way == "derived":
        return "base" if link.kind == MODEL else "source"
    return {"data": "data", "outputs": "generator"}.get(link.way, link.way)


def is_name(text: str) -> bool:
    try:
        parse_repo_name(text)
    except HeadwaterError:
        return False
    return True


def pinned_in(name: str) -> tuple[str, str]:
    """``ns/name@commit`` apart."""
    plain, _, revision = name.partition("@")
    return plain, revision[:64]
