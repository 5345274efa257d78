"""Licence texts, grades, and what a push pays for being graded, in CPU milliseconds: ``python -m bench.openness_bench``."""

from __future__ import annotations

import json
import statistics
import struct
import time
from pathlib import Path
from typing import Any

from bench.harness import Report, workspace
from headwater import accounts, licensing
from headwater.accounts.service import people
from headwater.assembly import build_site, prepare_data
from headwater.config import read_settings
from headwater.governance import grading, signals
from headwater.hub import events
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.repos.service import create_repository
from headwater.kernel import SYSTEM, Actor, RepoId, utcnow
from headwater.web import Site

DEBIAN = Path("/usr/share/common-licenses")
WORDS = "This is told in some detail, so that a skilled person can follow what was done and why it was done so. " * 4
CARD = "---\nlicense: {licence}\ndatasets: [bench/data]\n---\n# A model\n" + "".join(
    f"## {title}\n{WORDS}\n" for title in ("Intended use", "Limitations and bias", "Training", "Evaluation results")
)
TRAIN = "from transformers import Trainer\n\nTrainer().train()\n"


def run(report: Report, *, n_pushes: int = 40) -> None:
    _licences(report)
    with workspace() as folder:
        settings = read_settings(folder, {})
        prepare_data(folder, settings)
        site = build_site(folder, settings, base_url="http://127.0.0.1:1")
        try:
            _grades(report, site, n_pushes)
        finally:
            site.close()


def _licences(report: Report) -> None:
    index = Path(licensing.__file__).parent / "index.bin"
    size = index.stat().st_size
    report.add("the index of licences", f"{size / 1e6:.2f} MB", "≤ 2 MB", met=size <= 2_000_000)
    texts = {
        path.name: path.read_text("utf-8", errors="replace") for path in sorted(DEBIAN.iterdir()) if path.is_file()
    }
    licensing.read_licence("MIT")  # the index is read once
    spent = {name: min(_cpu_ms(licensing.read_licence, text) for _ in range(5)) for name, text in texts.items()}
    worst = max(spent, key=lambda name: spent[name])
    middle = statistics.median(spent.values())
    told = f"{middle:.1f} CPU ms, the worst ({worst}, {len(texts[worst]) / 1e3:.0f} kB) {spent[worst]:.1f}"
    report.add(f"a licence told by its text, {len(texts)} of Debian's", told, "≤ 50 ms each", met=spent[worst] <= 50)


def _cpu_ms(act: Any, *given: Any) -> float:
    started = time.process_time()
    act(*given)
    return (time.process_time() - started) * 1e3


def _weights(n_layers: int) -> bytes:
    head: dict[str, Any] = {}
    at = 0
    shapes = {"model.embed_tokens.weight": [64, 16]}
    shapes |= {
        f"model.layers.{n}.{part}.weight": [16, 16] for n in range(n_layers) for part in ("q", "k", "v", "o", "up")
    }
    for name, (rows, columns) in shapes.items():
        head[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [at, at + rows * columns * 2]}
        at += rows * columns * 2
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def _grades(report: Report, site: Site, n_pushes: int) -> None:
    site.db.write(people.create_person, SYSTEM, "bench", password_hash=None, now=utcnow())
    config = {"model_type": "llama", "num_hidden_layers": 30, "hidden_size": 16, "vocab_size": 64}
    files: dict[str, bytes] = {
        "README.md": CARD.format(licence="apache-2.0").encode(),
        "config.json": json.dumps(config).encode(),
        "model.safetensors": _weights(30),
        "train.py": TRAIN.encode(),
    }
    licence = DEBIAN / "Apache-2.0"
    if licence.is_file():
        files["LICENSE"] = licence.read_bytes()
    rows = {"README.md": CARD.format(licence="cc0-1.0").encode(), "train.jsonl": b'{"text": "a"}\n' * 1000}
    grading.grade_now(site, _push(site, RepoKind.DATASET, "data", rows))
    model = _push(site, RepoKind.MODEL, "model", files)
    grading.grade_now(site, model)  # what is imported once
    spent = [_cpu_ms(grading.grade_now, site, model) for _ in range(15)]
    middle = statistics.median(spent)
    report.add(
        "one grade: card, licence, weights, code, a data set that is named", f"{middle:.1f} CPU ms", "", met=None
    )
    # The push itself, with a grade asked for and without, by turns.
    heard = events._ON_CHANGE  # noqa: SLF001 -- one of those who hear of a push is left out by turns
    others = [each for each in heard if each is not signals.on_change]
    assert len(others) < len(heard), "grades are not asked for"
    costs: dict[bool, list[float]] = {True: [], False: []}
    for n in range(2 * n_pushes + 2):
        is_on = n % 2 == 0
        heard[:] = [*others, signals.on_change] if is_on else others
        draft = Draft("change", "", None, [InlineFile("notes.txt", str(n).encode())])
        cost = _cpu_ms(commit_draft, site, SYSTEM, RepoKind.MODEL, RepoName("bench", "model"), "main", draft)
        if n >= 2:
            costs[is_on].append(cost)
    heard[:] = [*others, signals.on_change]
    on, off = statistics.median(costs[True]), statistics.median(costs[False])
    report.add(
        "a push that asks for a grade, beside one that does not",
        f"{on:.2f} and {off:.2f} CPU ms ({on / off:.2f} times); the grade itself comes later, in the worker",
        "",
        met=None,
    )


def _push(site: Site, kind: RepoKind, name: str, files: dict[str, bytes]) -> RepoId:
    bench = site.db.read(accounts.get_account, "bench")
    made = create_repository(site, Actor(bench.id, bench.name), kind, RepoName("bench", name))
    draft = Draft("content", "", None, [InlineFile(path, data) for path, data in files.items()])
    return commit_draft(site, SYSTEM, kind, made.name, "main", draft).repo.id


if __name__ == "__main__":
    found = Report()
    run(found)
    print(found.markdown())
