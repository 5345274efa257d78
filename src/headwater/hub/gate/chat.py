"""Whether a model's chat template is its base model's: a change there changes what the model is told, and nobody sees it.

Worked out when the model's page is asked for, from both repositories as they are; nothing is rendered.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.accounts import Action
from headwater.hub import access, cards
from headwater.hub.content.known import KnownFacts
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.git import GitStore, Snapshot
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, HeadwaterError
from headwater.web import Site

MAX_BYTES = 8 << 20  # of a configuration; those of tokenizers hold added words
MAX_LINES = 400
MAX_BASES = 3
_GGUF = "gguf"
_CONFIGS = ("tokenizer_config.json", "chat_template.json", "processor_config.json")


@dataclass(frozen=True)
class TemplateChange:
    """``diff`` is cut after so many lines; ``is_added``: the base model has no template."""

    base: str
    base_href: str
    is_added: bool
    diff: str


def find_change(site: Site, actor: Actor, repo: Repository, bases: Sequence[str]) -> TemplateChange | None:
    """The first difference from a base model that is kept here and that ``actor`` may read."""
    if repo.kind is not RepoKind.MODEL or repo.head_commit is None:
        return None
    own: Mapping[str, str] | None = None
    for name in bases[:MAX_BASES]:
        base = _readable(site, actor, name)
        if base is None or base.id == repo.id or base.head_commit is None:
            continue
        own = _all(site, repo) if own is None else own
        if not own:
            return None
        found = _compare(own, _all(site, base), base)
        if found is not None:
            return found
    return None


def _readable(site: Site, actor: Actor, name: str) -> Repository | None:
    namespace, slash, rest = name.partition("/")
    if not slash or not rest or "/" in rest:
        return None
    try:
        return site.db.read(access.get_repository, actor, RepoKind.MODEL, RepoName(namespace, rest), Action.READ_FILES)
    except (RepositoryNotFound, HeadwaterError):
        return None


def _all(site: Site, repo: Repository) -> Mapping[str, str]:
    """Those of the configurations, and what the index knows of a GGUF file's own."""
    found = dict(_templates(site, repo))
    with site.db.reading() as tx:
        card = cards.find_card(tx, repo.id)
    facts = card.facts.get("gguf") if card is not None else None
    text = facts.get("chat_template") if isinstance(facts, dict) else None
    if isinstance(text, str):
        found[_GGUF] = text
    return found


def _templates(site: Site, repo: Repository) -> Mapping[str, str]:
    """Every chat template of the default branch by its name; kept in memory for as long as the branch stays."""
    known = site.part(KnownFacts)
    found = known.find(("chat", repo.id), repo.head_commit)
    if found is None:
        with site.part(GitStore).open(repo.id) as snap:
            read = _read(snap, str(repo.head_commit))
        known.keep(
            ("chat", repo.id), repo.head_commit, {name: text.encode() for name, text in read.items()}, bytes.decode
        )
        return read
    return found


def _read(snap: Snapshot, commit: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in snap.entries(commit, (*_CONFIGS, "chat_template.jinja")).values():
        if entry.sha256 is not None or entry.size_bytes > MAX_BYTES:
            continue
        data = snap.read_blob(entry.oid, limit_bytes=MAX_BYTES)
        if entry.path.endswith(".jinja"):
            found["default"] = data.decode(errors="replace")
            continue
        try:
            config = orjson.loads(data)
        except orjson.JSONDecodeError:
            continue
        for name, text in _named(config.get("chat_template") if isinstance(config, dict) else None):
            found.setdefault(name, text)
    return found


def _named(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [("default", value)]
    if isinstance(value, dict):
        return [(str(name), text) for name, text in value.items() if isinstance(text, str)]
    if isinstance(value, list):
        pairs = [(each.get("name"), each.get("template")) for each in value if isinstance(each, dict)]
        return [(str(name), text) for name, text in pairs if isinstance(text, str)]
    return []


def _compare(own: Mapping[str, str], theirs: Mapping[str, str], base: Repository) -> TemplateChange | None:
    lines: list[str] = []
    for name in sorted(own.keys() | theirs.keys()):
        mine, other = own.get(name, ""), theirs.get(name, "")
        if name == _GGUF:
            if not mine:
                continue  # the base model's weights in that form, which this one does not have
            other = other or theirs.get("default", "")
        elif not mine and _GGUF in own and name == "default":
            continue  # it has them in its GGUF file
        if mine.strip() != other.strip():
            label = f"{base.name}: {name}", f"this model: {name}"
            lines += difflib.unified_diff(_lines(other), _lines(mine), *label, lineterm="", n=2)
    if not lines:
        return None
    cut = [*lines[:MAX_LINES], "…"] if len(lines) > MAX_LINES else lines
    return TemplateChange(str(base.name), f"/{base.path}", not theirs, "\n".join(cut))


def _lines(text: str) -> list[str]:
    """Templates are often one long line: parted where their statements begin as well."""
    return text.replace("{%", "\n{%").replace("{{", "\n{{").split("\n")[:5000]
