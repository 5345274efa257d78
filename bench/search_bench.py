"""Search and lists over 100,000 repositories: ``python -m bench.search_bench [--rows 100000] [--rounds 5] [--data DIR]``.

Fills a database of its own through the same functions that index real repositories, then asks fixed queries in rounds and prints the
time each takes inside the server (service call and JSON, no network), with the number of SQL statements. A folder given by ``--data``
is kept, and filled only once.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import event, func, insert, select

from bench.harness import Report
from headwater.accounts.tables import account
from headwater.db import Database, Tx, open_database
from headwater.hub import search
from headwater.hub.access import from_row
from headwater.hub.cards import store as cards
from headwater.hub.cards.models import Card
from headwater.hub.cards.reading import parse_readme
from headwater.hub.cards.tags import FileFacts, derive
from headwater.hub.huggingface.listing import _PLAIN, _shown
from headwater.hub.models import RepoKind
from headwater.hub.search import Query, Sort
from headwater.hub.search.documents import Body, body_of, document_of, facets_of, filters_of
from headwater.hub.search.ranks import rank_of
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import repository_tag, search_document, search_entry, tag_total
from headwater.kernel import ANONYMOUS, AccountId, Actor, utcnow

N_OWNERS = 500
BATCH = 500
MODEL = RepoKind.MODEL

CHINESE = [
    "模型",
    "语言",
    "大语言模型",
    "训练",
    "数据",
    "翻译",
    "金融",
    "医疗",
    "法律",
    "对话",
    "指令",
    "微调",
    "量化",
    "多模态",
    "视觉",
    "语音",
    "开源",
    "中文",
    "英文",
    "推理",
    "代码",
    "数学",
    "四川",
    "上海",
    "天气",
    "教育",
    "古文",
    "诗词",
    "向量",
    "检索",
]
ENGLISH = [
    "model",
    "language",
    "training",
    "data",
    "chat",
    "instruct",
    "base",
    "fine",
    "tuned",
    "quantized",
    "vision",
    "speech",
    "open",
    "weights",
    "reasoning",
    "code",
    "math",
    "retrieval",
    "embedding",
    "adapter",
    "merge",
    "small",
    "large",
    "fast",
    "finance",
    "medical",
    "legal",
    "weather",
    "poetry",
    "education",
]
FAMILIES = [
    "Qwen",
    "Llama",
    "SmolLM",
    "Gemma",
    "Mistral",
    "DeepSeek",
    "Yi",
    "InternLM",
    "ChatGLM",
    "Baichuan",
    "Phi",
    "Falcon",
    "Bert",
    "RoBERTa",
    "T5",
    "Whisper",
    "Bloom",
    "OPT",
    "Pythia",
    "Granite",
]
LICENCES = ["apache-2.0"] * 6 + ["mit"] * 3 + ["llama3", "gemma", "cc-by-4.0", "openrail", "mulanpsl-2.0"]
TASKS = ["text-generation"] * 6 + ["text-classification"] * 2 + ["translation", "fill-mask", "feature-extraction", "image-text-to-text", "automatic-speech-recognition"]  # fmt: skip
LANGUAGES = ["en"] * 5 + ["zh"] * 4 + ["fr", "de", "ja", "ko", "es", "no", "sw"]
RARE = "kingfisher"

QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("list, trending", {}),
    ("list, last modified", {"sort": Sort.MODIFIED}),
    ("list, downloads", {"sort": Sort.DOWNLOADS}),
    ("one character 模", {"text": "模"}),
    ("one character 诗", {"text": "诗"}),
    ("two characters 模型", {"text": "模型"}),
    ("two characters 四川", {"text": "四川"}),
    ("two characters 翻译", {"text": "翻译"}),
    ("phrase 大语言模型", {"text": "大语言模型"}),
    ("two phrases 金融 翻译", {"text": "金融 翻译"}),
    ("no hit 飞碟", {"text": "飞碟"}),
    ("very common: model", {"text": "model"}),
    ("very common, by likes", {"text": "model", "sort": Sort.LIKES}),
    ("very common, by date", {"text": "模型", "sort": Sort.MODIFIED}),
    ("rare word", {"text": RARE}),
    ("name: qwen", {"text": "qwen"}),
    ("name: smollm2-7b", {"text": "smollm2-7b"}),
    ("beginning: sm", {"text": "sm"}),
    ("beginning: smo", {"text": "smo"}),
    ("two words: qwen chat", {"text": "qwen chat"}),
    ("mixed: qwen 中文 对话", {"text": "qwen 中文 对话"}),
    ("licence", {"tags": ("license:mit",)}),
    ("task and language", {"tags": ("pipeline_tag:text-generation", "language:zh")}),
    ("rare tag", {"tags": ("language:sw",)}),
    ("four tags, by date", {"tags": ("pipeline_tag:translation", "language:fr", "license:gemma", "safetensors"), "sort": Sort.MODIFIED}),
    ("tag nobody has", {"tags": ("nothing-like-it",)}),
    ("author", {"author": "owner7"}),
    ("author and word", {"author": "owner7", "text": "模型"}),
    ("parameters", {"min_parameters": 6_000_000_000, "max_parameters": 8_000_000_000}),
    ("word, tag and size", {"text": "chat", "tags": ("language:zh",), "min_parameters": 1_000_000_000}),
    ("gated", {"gated": True}),
    ("word, page 10", {"text": "模型", "page": 10}),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = (asked.data or Path(folder)) / "headwater.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        db = open_database(path.parent, None)
        db.ensure_schema()
        if is_new:
            fill(db, asked.rows)
        measure(db, asked.rounds)
        db.close()


def fill(db: Database, rows: int) -> None:
    """In bulk, but with the very documents, tags and totals that ``search.refresh`` would write one by one."""
    rng = random.Random(7)
    began = time.perf_counter()
    owners = db.write(_add_owners)
    for start in range(0, rows, BATCH):
        made = [_invent(rng, number) for number in range(start, min(start + BATCH, rows))]
        db.write(_add_batch, owners, made, start)
    db.write(_add_totals)
    print(f"filled {rows:,} repositories in {time.perf_counter() - began:.0f} s", flush=True)


def _add_owners(tx: Tx) -> list[tuple[int, str]]:
    rows = [
        {"kind": "person", "name": f"owner{n}", "name_key": f"owner{n}", "created_at": utcnow()}
        for n in range(N_OWNERS)
    ]
    tx.execute(insert(account), rows)
    return [(row.id, row.name) for row in tx.execute(select(account.c.id, account.c.name))]


def _invent(rng: random.Random, number: int) -> tuple[dict[str, Any], Card, Body]:
    size = rng.choice([0.1, 0.5, 1, 3, 7, 13, 70])
    family = rng.choice(FAMILIES)
    words = [rng.choice(CHINESE if rng.random() < 0.5 else ENGLISH) for _ in range(rng.randint(10, 80))]
    # Common words are common: two thirds of the cards speak of models.
    if rng.random() < 0.66:
        words += ["模型", "model"]
    if number % 25_000 == 11:
        words.append(RARE)
    text = "".join(word if not word.isascii() else f" {word} " for word in words)
    languages = sorted({rng.choice(LANGUAGES) for _ in range(rng.randint(1, 3))})
    readme = (
        f"---\nlicense: {rng.choice(LICENCES)}\nlanguage: {languages}\npipeline_tag: {rng.choice(TASKS)}\n"
        f"library_name: transformers\ntags: [tag{rng.randint(0, 3000)}, {rng.choice(ENGLISH)}]\n---\n{text}"
    )
    data, body, _ = parse_readme(readme, MODEL)
    files = ("config.json", "model.safetensors") if rng.random() < 0.8 else ("m.gguf",)
    derived = derive(MODEL, data, body, FileFacts(files, {}))
    card = Card(
        commit=None, text=body, data=data, tags=derived.tags, library=derived.library, pipeline_tag=derived.pipeline_tag,
        n_parameters=int(size * 1e9) if rng.random() < 0.7 else None, n_files=3,
    )  # fmt: skip
    age = timedelta(seconds=rng.randint(0, 400 * 86_400))
    row = {
        "kind": "model", "name": f"{family}{rng.randint(1, 4)}-{size}B-{rng.choice(['Chat', 'Base', 'Instruct'])}-{number}",
        "is_private": rng.random() < 0.05, "gated": "auto" if rng.random() < 0.03 else "", "created_at": utcnow() - age,
        "updated_at": utcnow() - age * rng.random(), "n_likes": int(rng.paretovariate(0.8)) - 1,
        "n_downloads": int(rng.paretovariate(0.6)) - 1, "trending_score": round(max(0.0, rng.gauss(-3, 2)), 2),
    }  # fmt: skip
    return row, card, body_of(card)


def _add_batch(
    tx: Tx, owners: list[tuple[int, str]], made: list[tuple[dict[str, Any], Card, Body]], start: int
) -> None:
    ids = range(start + 1, start + 1 + len(made))
    who = [owners[repo_id * 7919 % len(owners)] for repo_id in ids]
    tx.execute(
        insert(repository),
        [
            {**row, "id": repo_id, "owner_id": owner_id, "namespace": owner, "gated": row["gated"]}
            for repo_id, (owner_id, owner), (row, _, _) in zip(ids, who, made, strict=True)
        ],
    )
    rows = tx.execute(select(repository).where(repository.c.id.in_(ids)).order_by(repository.c.id)).all()
    tags: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    documents: list[dict[str, Any]] = []
    for row, (_, card, body) in zip(rows, made, strict=True):
        repo, rank = from_row(row), rank_of(MODEL, row.id, row.trending_score, row.n_likes, row.n_downloads)
        cards.put_card(tx, repo.id, MODEL, card, now=utcnow())
        filters = filters_of(repo, card)
        tags += [{"kind": "model", "tag": tag, "repo_id": repo.id} for tag in filters]
        entries.append(
            {
                "rank": rank,
                "repo_id": repo.id,
                "is_public": not repo.is_private,
                "n_parameters": card.n_parameters,
                "facets": facets_of(MODEL, filters),
            }
        )
        documents.append({"rank": rank, **asdict(document_of(repo, body, filters))})
    tx.execute(insert(repository_tag), tags)
    tx.execute(insert(search_entry), entries)
    tx.execute(insert(search_document), documents)


def _add_totals(tx: Tx) -> None:
    counted = tx.execute(
        select(repository_tag.c.tag, func.count())
        .join(repository, repository.c.id == repository_tag.c.repo_id)
        .where(repository.c.is_private.is_(False))
        .group_by(repository_tag.c.tag)
    )
    rows = [{"kind": "model", "tag": t, "facet": search.facet_of(MODEL, t)[0] or "", "n_public": n} for t, n in counted]
    tx.execute(insert(tag_total), rows)


def answer(tx: Tx, actor: Actor, query: Query) -> int:
    found: search.Found = {}
    page = search.list_repositories(tx, actor, query, found=found)
    search.summarise(tx, actor, query, found=found)
    return len(orjson.dumps([_shown(item, _PLAIN[MODEL], None, with_model_id=True) for item in page.items]))


def measure(db: Database, rounds: int) -> tuple[float, float, int]:
    """Prints a line a query; returns the 99th percentile of wall and of processor time in ms, and the most statements of a page."""
    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    event.listen(db._engine, "before_cursor_execute", count)  # noqa: SLF001 - to count statements
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; milliseconds of list, count and facets together\n")
    print(f"{'query':<28}{'hits':>8}{'median':>9}{'worst':>9}{'cpu':>8}{'SQL':>5}")
    wall: list[float] = []
    cpu: list[float] = []
    most = 0
    for name, asked in QUERIES:
        pages = asked.get("page", 1)
        query = Query(MODEL, limit=30, **{key: value for key, value in asked.items() if key != "page"})
        with db.reading() as tx:
            for _ in range(pages - 1):
                query = replace(query, cursor=search.list_repositories(tx, ANONYMOUS, query).cursor)
            hits = search.count_repositories(tx, ANONYMOUS, query)
        times, cpus, used = [], [], 0
        for number in range(rounds):
            actor = (ANONYMOUS, Actor(AccountId(8), "owner7"))[number % 2]
            before, began, busy = statements, time.perf_counter(), time.thread_time()
            with db.reading() as tx:
                answer(tx, actor, query)
            times.append((time.perf_counter() - began) * 1000)
            cpus.append((time.thread_time() - busy) * 1000)
            used = max(used, statements - before)
        wall, cpu, most = wall + times, cpu + cpus, max(most, used)
        middle, busy_ms = statistics.median(times), statistics.median(cpus)
        print(f"{name:<28}{hits!s:>8}{middle:>9.1f}{max(times):>9.1f}{busy_ms:>8.1f}{used:>5}", flush=True)
    event.remove(db._engine, "before_cursor_execute", count)  # noqa: SLF001
    worst = []
    for label, values in (("wall", sorted(wall)), ("cpu", sorted(cpu))):
        p99 = values[min(len(values) - 1, int(len(values) * 0.99))]
        worst.append(p99)
        print(f"all, {label}: median {statistics.median(values):.1f} ms, p99 {p99:.1f} ms, worst {values[-1]:.1f} ms")
    return worst[0], worst[1], most


def run(report: Report, *, n_repositories: int) -> None:
    """The row of ``docs/performance.md``."""
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        db = open_database(Path(folder), None)
        db.ensure_schema()
        fill(db, n_repositories)
        wall_ms, cpu_ms, most = measure(db, 20)
        db.close()
    report.add(
        f"search and lists over {n_repositories:,} repositories, {len(QUERIES)} fixed queries with count and facets, p99",
        f"{wall_ms:.0f} ms ({cpu_ms:.0f} ms CPU), at most {most} statements",
        "≤ 50 ms",
        met=wall_ms <= 50,
    )


if __name__ == "__main__":
    main()
