"""Lists: ``GET /api/models|datasets|spaces`` with every filter and order of the client, and the lists of tags."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.db import Tx
from headwater.hub import cards, search
from headwater.hub.content.errors import BadParameter
from headwater.hub.huggingface.answers import as_json
from headwater.hub.huggingface.asking import count, flag
from headwater.hub.huggingface.info import EXPANDABLE, card_facts, plain_facts
from headwater.hub.models import RepoKind
from headwater.hub.search import Listed, Query, Sort
from headwater.kernel import Actor, Page, RepoId, to_iso
from headwater.web import Access, Route

PER_PAGE = 100
MAX_PER_PAGE = 1000
MAX_TEXT = 250
MAX_FILTERS = 32

_SORTS = {
    "trendingScore": Sort.TRENDING,
    "trending_score": Sort.TRENDING,
    "lastModified": Sort.MODIFIED,
    "last_modified": Sort.MODIFIED,
    "createdAt": Sort.CREATED,
    "created_at": Sort.CREATED,
    "downloads": Sort.DOWNLOADS,
    "likes": Sort.LIKES,
}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([KMBT]?)")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

# Programs that run a model by itself, and what its files must be.
_APPS = {
    **dict.fromkeys(
        ("ollama", "llama.cpp", "lmstudio", "jan", "koboldcpp", "llama-cpp-python", "docker-model-runner", "lemonade"),
        ("gguf",),
    ),
    **dict.fromkeys(("vllm", "sglang", "tgi"), ("transformers", "safetensors")),
    "mlx-lm": ("mlx",),
}
# Queries by which a tag can be asked for directly, and what stands before the tag.
_TAG_QUERIES = {
    "pipeline_tag": "pipeline_tag:",
    "library": "library:",
    "language": "language:",
    "license": "license:",
    "dataset": "dataset:",
    "base_model": "base_model:",
    "task_categories": "task_categories:",
    "task_ids": "task_ids:",
    "size_categories": "size_categories:",
    "multilinguality": "multilinguality:",
    "format": "format:",
    "other": "",
}
_PLAIN = {
    RepoKind.MODEL: (
        "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "downloads", "likes",
        "trendingScore", "tags", "pipeline_tag", "library_name",
    ),
    RepoKind.DATASET: (
        "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "downloads", "likes",
        "trendingScore", "tags", "description", "citation", "paperswithcode_id",
    ),
    RepoKind.SPACE: (
        "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "likes", "trendingScore", "tags", "sdk",
    ),
}  # fmt: skip
_FULL = {
    RepoKind.MODEL: ("siblings",),
    RepoKind.DATASET: ("siblings", "cardData"),
    RepoKind.SPACE: ("siblings", "cardData", "models", "datasets"),
}


@dataclass(frozen=True)
class _Found:
    page: Page[Listed]
    paths: dict[RepoId, list[str]]


async def list_repositories(request: Request) -> Response:
    """One page; ``Link`` leads to the next."""
    kind = RepoKind.from_plural(request.path_params["type"])
    words = _words_of(request, kind)
    query = _query_of(request, kind)
    if query is None:
        return as_json([])
    found = await web.read_tx(request, _find, query, with_files="siblings" in words)
    is_model = kind is RepoKind.MODEL and not request.query_params.getlist("expand")
    shown = [_shown(item, words, found.paths.get(item.repo.id), with_model_id=is_model) for item in found.page.items]
    return as_json(shown, headers=web.next_link(request, found.page.cursor))


async def search_spaces(request: Request) -> Response:
    """``GET /api/spaces/semantic-search?q=``: by words, not by meaning; the best first."""
    text = request.query_params.get("q", "")[:MAX_TEXT]
    sdks = request.query_params.getlist("sdk")
    tags = _filters(request.query_params.getlist("filter"))
    query = Query(RepoKind.SPACE, text=text, tags=tags, sdk=sdks[0] if sdks else None, limit=50)
    found = await web.read_tx(request, _find, query, with_files=False)
    shown = []
    for item in found.page.items:
        data = item.card.data if item.card else {}
        shown.append(
            {
                "id": str(item.repo.name),
                "author": item.repo.name.namespace,
                "title": str(data.get("title") or item.repo.name.name),
                "emoji": data.get("emoji") or "",
                "colorFrom": data.get("colorFrom"),
                "colorTo": data.get("colorTo"),
                "sdk": item.repo.sdk,
                "likes": item.repo.n_likes,
                "private": item.repo.is_private,
                "tags": list(item.card.tags) if item.card else [],
                "shortDescription": data.get("short_description"),
                "createdAt": to_iso(item.repo.created_at),
                "lastModified": to_iso(item.repo.updated_at),
                "trendingScore": item.repo.trending_score,
            }
        )
    return as_json(shown)


async def tags_by_type(request: Request) -> Response:
    """``GET /api/models-tags-by-type`` and ``/api/datasets-tags-by-type``: every tag of public repositories."""
    kind = RepoKind.from_plural(request.path_params["kind"])
    return as_json(await web.read_tx(request, _tags, kind))


def _tags(tx: Tx, _actor: Actor, kind: RepoKind) -> dict[str, list[dict[str, str]]]:
    return search.tags_by_type(tx, kind)


def _find(tx: Tx, actor: Actor, query: Query, *, with_files: bool) -> _Found:
    page = search.list_repositories(tx, actor, query)
    if not with_files:
        return _Found(page, {})
    known = {item.repo.id: item.card for item in page.items if item.card is not None}
    return _Found(page, cards.paths_of_many(tx, known))


def _words_of(request: Request, kind: RepoKind) -> tuple[str, ...]:
    asked = [word for given in request.query_params.getlist("expand") for word in given.split(",") if word]
    for word in asked:
        if word not in EXPANDABLE[kind]:
            raise BadParameter("expand", f"{word[:40]!r} is not one of {', '.join(sorted(EXPANDABLE[kind]))}")
    if asked:
        return tuple(dict.fromkeys(asked))
    words = _PLAIN[kind]
    words += _FULL[kind] if flag(request, "full") else ()
    words += ("config",) if flag(request, "config") else ()
    words += ("cardData",) if flag(request, "cardData") else ()
    words += ("models", "datasets") if flag(request, "linked") else ()
    return tuple(dict.fromkeys(words))


def _query_of(request: Request, kind: RepoKind) -> Query | None:
    """What is asked for; None when nothing here can fulfil it (hosted inference)."""
    given = request.query_params
    if given.get("inference") or given.getlist("inference_provider"):
        return None
    tags = list(_filters(given.getlist("filter")))
    for key, before in _TAG_QUERIES.items():
        tags += [f"{before}{value.removeprefix(before)}" for value in _filters(given.getlist(key))]
    for app in _filters(given.getlist("apps")):
        if app not in _APPS:
            raise BadParameter("apps", f"{app[:40]!r} is not one of {', '.join(sorted(_APPS))}")
        tags += _APPS[app]
    if kind is RepoKind.SPACE:
        for key in ("models", "datasets"):
            tags += [f"{key.removesuffix('s')}:{value}" for value in given.getlist(key) if value]
    if len(tags) > MAX_FILTERS:
        raise BadParameter("filter", f"at most {MAX_FILTERS} may be asked for at once")
    sort = given.get("sort")
    if sort and sort not in _SORTS:
        raise BadParameter("sort", f"it may be {', '.join(sorted(_SORTS))}")
    gated = given.get("gated")
    low, high = _parameters(given.get("num_parameters"))
    return Query(
        kind,
        text=" ".join(given.getlist("search"))[:MAX_TEXT],
        author=given.get("author") or None,
        tags=tuple(dict.fromkeys(tags)),
        gated=None if not gated else flag(request, "gated"),
        min_parameters=low,
        max_parameters=high,
        sdk=given.get("sdk") or None,
        sort=_SORTS[sort] if sort else None,
        limit=count(request, "limit", default=PER_PAGE, most=MAX_PER_PAGE),
        cursor=given.get("cursor"),
    )


def _filters(values: Iterable[str]) -> tuple[str, ...]:
    """Repeated, or with commas between them, as older clients wrote."""
    return tuple(word.strip()[:255] for value in values for word in value.split(",") if word.strip())


def _parameters(text: str | None) -> tuple[int | None, int | None]:
    """``min:6B,max:128B``, or one of the two."""
    found: dict[str, int] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        side, _, number = part.strip().partition(":")
        match = _NUMBER.fullmatch(number.strip().upper()[:20])
        if side not in ("min", "max") or match is None:
            raise BadParameter("num_parameters", "write it as min:6B,max:128B")
        found[side] = int(float(match[1]) * _UNITS[match[2]])
    return found.get("min"), found.get("max")


def _shown(item: Listed, words: tuple[str, ...], paths: list[str] | None, *, with_model_id: bool) -> dict[str, Any]:
    repo = item.repo
    facts = plain_facts(repo)
    if item.card is not None:
        facts |= card_facts(item.card)
        facts["usedStorage"] = item.card.used_storage_bytes
    facts["sha"] = repo.head_commit
    facts["downloadsAllTime"] = item.downloads_all_time
    facts.setdefault("tags", [])
    if paths is not None:
        facts["siblings"] = [{"rfilename": path} for path in paths]
    shown: dict[str, Any] = {"_id": f"{repo.id:024x}", "id": str(repo.name)}
    if with_model_id:
        shown["modelId"] = str(repo.name)
    shown |= {word: facts[word] for word in words if facts.get(word) is not None}
    return shown


ROUTES = [
    Route("GET", "/api/spaces/semantic-search", search_spaces, Access.PUBLIC, "hf"),
    Route("GET", "/api/{type:models|datasets|spaces}", list_repositories, Access.PUBLIC, "hf"),
    Route("GET", "/api/{kind:models|datasets}-tags-by-type", tags_by_type, Access.PUBLIC, "hf"),
]
