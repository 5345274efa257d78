"""The repository's first page: its card, what is known of it, and how to use it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request

from headwater.hub import cards
from headwater.hub.cards import Card
from headwater.hub.gate.chat import TemplateChange, find_change
from headwater.hub.models import RepoKind, Repository
from headwater.hub.pages import addresses, marks, store
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.search.store import downloads_of_all_time
from headwater.kernel import Actor
from headwater.web import Site

README_LIMIT_BYTES = 2 << 20
SHOWN_LINKS = 8


@dataclass(frozen=True)
class Snippet:
    """How to use it with one tool; ``title`` is the tool's own name."""

    title: str
    code: str


@dataclass(frozen=True)
class Link:
    """``href`` is "" for what is not kept here."""

    label: str
    href: str


@dataclass(frozen=True)
class Facts:
    """What a repository is, in figures; None where it is not known."""

    n_parameters: int | None
    dtypes: tuple[str, ...]
    architecture: str | None
    context_tokens: int | None
    size_bytes: int | None
    n_downloads: int
    n_downloads_all: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class RepositoryPage:
    """``card_html`` is "" when there is no README; ``problem`` why its front matter could not be read."""

    head: Head
    card_html: Markup
    problem: str | None
    facts: Facts
    made_from: tuple[Link, ...]
    datasets: tuple[Link, ...]
    snippets: tuple[Snippet, ...]
    clone: str
    is_empty: bool
    is_indexed: bool
    template: TemplateChange | None
    sections: tuple[tuple[str, object], ...] = ()


def load(site: Site, actor: Actor, request: Request) -> RepositoryPage:
    """Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "card")
        gguf = cards.find_files(tx, head.repo.id, ".gguf", limit=1) if _has_tag(head.card, "gguf") else []
        downloads_all = downloads_of_all_time(tx, [head.repo.id]).get(head.repo.id, 0)
        sections = marks.sections_of(tx, actor, head.repo)
    repo = head.repo
    is_indexed = head.card is not None and head.card.commit == repo.head_commit
    card = head.card if is_indexed and head.card is not None else cards.card_at(site, repo, repo.head_commit)
    text = card.text
    html = render_text(text, link_base(repo)) if text.strip() else Markup("")
    bases, sets = _names(card.data.get("base_model")), _names(card.data.get("datasets"))
    here = site.db.read(
        store.public_names, [(RepoKind.MODEL, name) for name in bases] + [(RepoKind.DATASET, name) for name in sets]
    )
    return RepositoryPage(
        head=head,
        card_html=html,
        problem=card.error,
        facts=_facts(repo, head.card, downloads_all),
        made_from=_links(bases, RepoKind.MODEL, here),
        datasets=_links(sets, RepoKind.DATASET, here),
        snippets=tuple(snippets(site.base_url, repo, card, gguf[0].path if gguf else None)),
        clone=f"git clone {site.base_url}/{repo.path}",
        is_empty=is_indexed and head.n_files is not None and head.n_files <= 1 and not text.strip(),
        is_indexed=is_indexed,
        template=find_change(site, actor, repo, bases) if bases else None,
        sections=sections,
    )


def _has_tag(card: Card | None, tag: str) -> bool:
    return card is not None and tag in card.tags


def link_base(repo: Repository, revision: str | None = None, folder: str = "") -> str:
    """What relative links in a text of this repository stand on: the page of the file beside it."""
    return addresses.at(repo, "blob", revision or repo.default_branch, folder).rstrip("/") + "/"


def render_text(text: str, base: str) -> Markup:
    """A text of a stranger as safe HTML, its headings one step down: the page's own heading is the first."""
    from headwater.hub import markdown  # heavy, and most requests do not need it

    return Markup(one_step_down(markdown.render(text, link_base=base)))  # noqa: S704 - cleaned after rendering


def one_step_down(html: str) -> str:
    """First headings of a text become second ones that look like first ones."""
    return html.replace("<h1", '<h2 class="h1"').replace("</h1>", "</h2>")


def _facts(repo: Repository, card: Card | None, downloads_all: int) -> Facts:
    found: Any = card.facts if card is not None else {}
    gguf, config = found.get("gguf") or {}, found.get("config") or {}
    tensors = (found.get("safetensors") or {}).get("parameters") or {}
    architecture = gguf.get("architecture") or next(iter(config.get("architectures") or ()), None)
    context = gguf.get("context_length") or config.get("max_position_embeddings")
    return Facts(
        n_parameters=card.n_parameters if card is not None else None,
        dtypes=tuple(tensors)[:3],
        architecture=architecture if isinstance(architecture, str) else None,
        context_tokens=context if isinstance(context, int) else None,
        size_bytes=card.used_storage_bytes if card is not None else None,
        n_downloads=repo.n_downloads,
        n_downloads_all=downloads_all,
        created_at=repo.created_at,
        updated_at=repo.updated_at,
    )


def _names(value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [name for name in names if isinstance(name, str)][:SHOWN_LINKS]


def _links(names: list[str], kind: RepoKind, here: set[tuple[RepoKind, str]]) -> tuple[Link, ...]:
    return tuple(Link(name, f"/{kind.url_prefix}{quote(name)}" if (kind, name) in here else "") for name in names)


def snippets(base_url: str, repo: Repository, card: Card, gguf: str | None = None) -> list[Snippet]:
    """How to use ``repo`` with the tools people have, with this server's address in them."""
    point = f'import os\nos.environ["HF_ENDPOINT"] = "{base_url}"\n\n'
    name, found = str(repo.name), []
    if repo.kind is RepoKind.MODEL and card.library == "transformers":
        task = f'"{card.pipeline_tag}", ' if card.pipeline_tag else ""
        use = f'from transformers import pipeline\npipe = pipeline({task}model="{name}")'
        found.append(Snippet("transformers", point + use))
    if gguf is not None:
        address = f"{base_url}/{repo.path}/resolve/{repo.default_branch}/{quote(gguf)}"
        found.append(Snippet("llama.cpp", f"curl -LO {address}\nllama-cli -m {gguf.rpartition('/')[2]} -cnv"))
    if repo.kind is RepoKind.DATASET:
        use = f'from datasets import load_dataset\nrows = load_dataset("{name}", split="train", streaming=True)'
        found.append(Snippet("datasets", point + use))
    kind = "" if repo.kind is RepoKind.MODEL else f', repo_type="{repo.kind.value}"'
    download = f'from huggingface_hub import snapshot_download\nfolder = snapshot_download("{name}"{kind})'
    found.append(Snippet("huggingface_hub", point + download))
    option = "" if repo.kind is RepoKind.MODEL else f" --repo-type {repo.kind.value}"
    found.append(Snippet("hf", f"HF_ENDPOINT={base_url} hf download {name}{option}"))
    found.append(Snippet("git", f"git lfs install\ngit clone {base_url}/{repo.path}"))
    found.append(Snippet("curl", f"curl -LO {base_url}/{repo.path}/resolve/{repo.default_branch}/README.md"))
    return found
