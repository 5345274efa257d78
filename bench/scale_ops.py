"""What is asked of a large site: addresses in groups, the same for every size, drawn from the site's own repositories and accounts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from bench.scale_data import World
from bench.search_bench import QUERIES
from headwater.hub.models import RepoKind
from headwater.hub.search import Sort

SORTS = (Sort.TRENDING, Sort.MODIFIED, Sort.CREATED, Sort.DOWNLOADS, Sort.LIKES)
_SIZES = {(6_000_000_000, 8_000_000_000): "1B–10B", (1_000_000_000, None): "1B–10B"}


@dataclass(frozen=True)
class Group:
    """Addresses that are measured together; each address of ``paths`` is asked for in each round."""

    name: str
    paths: tuple[str, ...]


def groups(world: World, ask: Callable[[str], list[tuple[Any, ...]]], *, n_each: int = 24) -> list[Group]:
    """Every group of addresses. ``ask`` answers SQL: only public repositories that are there can be asked for by strangers."""
    rng = random.Random(5)
    every, with_git = [], []
    wanted = [rng.randint(1, world.n) for _ in range(n_each * 4)]
    wanted_git = [rng.randint(1, world.n // 50) * 50 for _ in range(n_each * 4)]
    is_open = {
        row[0]: f"{RepoKind(row[1]).plural}/{row[2]}/{row[3]}"
        for row in ask(
            "select id, kind, namespace, name from repository where not is_private and gated = '' and deleted_at is null "
            f"and id in ({', '.join(map(str, sorted({*wanted, *wanted_git})))})"
        )
    }
    every = [is_open[i] for i in wanted if i in is_open][:n_each]
    with_git = [is_open[i] for i in wanted_git if i in is_open][:n_each]
    owners = [world.account_name(world.owner_of(i)) for i in wanted[:n_each]]
    return [
        *(Group(f"list by {sort.value}, JSON", (f"/api/models?limit=30&sort={sort.value}",)) for sort in SORTS),
        Group("list of 100 with files, JSON", ("/api/models?limit=100&full=true", "/api/datasets?limit=100&full=true")),
        Group("search, the fixed queries, JSON", tuple(_api(asked) for name, asked in QUERIES if "page" not in asked)),
        Group("search and filters, the fixed queries, page", tuple(_page(asked) for name, asked in QUERIES if "page" not in asked)),
        Group("search in any order, JSON", tuple(_api({**asked, "sort": sort}) for asked in _IN_ORDER for sort in SORTS)),
        Group("list page, each order", tuple(f"/models?sort={sort.value}" for sort in SORTS)),
        Group("home page", ("/",)),
        Group("info of one, JSON", tuple(f"/api/{path}" for path in every)),
        Group("tree of one, JSON", tuple(f"/api/{path}/tree/main" for path in with_git)),
        Group("repository page", tuple("/" + path.removeprefix("models/") for path in every)),
        Group("files page", tuple("/" + path.removeprefix("models/") + "/tree/main" for path in with_git)),
        Group("profile page", tuple(f"/{quote(owner)}" for owner in owners)),
        Group("profile page, the greatest owners", tuple(f"/{world.account_name(i)}" for i in range(1, 9))),
        Group("list by the greatest owner, each order, JSON",
              tuple(f"/api/models?author={world.account_name(1)}&sort={sort.value}&limit=30" for sort in SORTS)),
        Group("tags by type, JSON", ("/api/models-tags-by-type",)),
    ]  # fmt: skip


# Words and tags of every frequency, in an order that has nothing to do with them.
_IN_ORDER: tuple[dict[str, Any], ...] = (
    {"text": "model"}, {"text": "四川"}, {"text": "kernel"}, {"text": "文件系统"}, {"text": "iterator"}, {"text": "socket"},
    {"text": "金融 翻译"}, {"text": "qwen chat"}, {"tags": ("language:sw",)}, {"tags": ("license:cc0-1.0",)}, {"tags": ("gguf", "zh")},
    {"tags": ("tag7",)}, {"tags": ("license:gemma", "language:uk")}, {"min_parameters": 10_000_000_000},
)  # fmt: skip


def _api(asked: dict[str, Any]) -> str:
    pairs = _shared(asked)
    if asked.get("gated"):
        pairs.append(("gated", "true"))
    low, high = asked.get("min_parameters"), asked.get("max_parameters")
    bounds = ([f"min:{low}"] if low else []) + ([f"max:{high}"] if high else [])
    if bounds:
        pairs.append(("num_parameters", ",".join(bounds)))
    return f"/api/models?{urlencode([*pairs, ('limit', '30')])}"


def _page(asked: dict[str, Any]) -> str:
    pairs = _shared(asked)
    size = _SIZES.get((asked.get("min_parameters", 0), asked.get("max_parameters")))
    return f"/models?{urlencode([*pairs, *([('size', size)] if size else [])])}"


def _shared(asked: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = [("search", asked["text"])] if "text" in asked else []
    pairs += [("author", asked["author"])] if "author" in asked else []
    pairs += [("filter", tag) for tag in asked.get("tags", ())]
    pairs += [("sort", asked["sort"].value)] if "sort" in asked else []
    return pairs
