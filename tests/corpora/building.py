"""Orders of corpora for these tests, and a program that builds one: ``python -m tests.corpora.building FOLDER ENGINE [HELD_BYTES]``."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.corpora.program import building, steps
from headwater.corpora.recipe import CorpusRecipe
from tests.corpora.texts import EN, ZH, manuals_zh, pages_en

STEPS = [
    {"op": "normalize"},
    {"op": "language", "languages": ["zh", "en"]},
    {"op": "rules"},
    {"op": "repetition"},
    {"op": "words", "name": "unwanted", "words": ["赌博", "casino"]},
    {"op": "pii"},
    {"op": "decontaminate", "input": "evals"},
    {"op": "exact"},
    {"op": "fuzzy"},
]
SNOW = "今年的第一场雪来得特别早。老人说，这样的年份麦子会长得好，因为雪像被子一样盖住了田野。孩子们在院子里堆了一个雪人，给它戴上旧帽子。"
QUESTION = "Which of these rivers rose over the old stone bridge after three long days of rain?"


def lay_out(folder: Path) -> None:
    """Sources of every format, with something wrong in each."""
    (folder / "manuals" / "man1").mkdir(parents=True)
    for number, data in enumerate(manuals_zh()[:80]):
        (folder / "manuals" / "man1" / f"page{number:03d}.1.gz").write_bytes(gzip.compress(data, mtime=0))
    (folder / "pages").mkdir()
    for number, page in enumerate(pages_en()[:12]):
        (folder / "pages" / f"page{number:02d}.html").write_bytes(page)
    pq.write_table(
        pa.table({"text": [f"{EN} {QUESTION}", None, f"{EN[40:]} Parquet."]}), folder / "pages" / "more.parquet"
    )
    lines: list[Any] = [
        {"text": ZH, "at": "2020-03-01", "by": "CC0-1.0"},
        {"text": f" {ZH}\n"},
        {"text": ZH[:-6] + "河的礼物。", "at": "2021年7月"},
        {"text": ""},
        {"no": 1},
        {"text": f"{ZH}赌博网站"},
        {"text": f"请写信到 li.lei@headwater.org.cn。{ZH[::-1]}{ZH[10:40]}"},
    ]
    with (folder / "lines.jsonl").open("wb") as file:
        file.writelines(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
        file.write(b"{broken\n")
        file.write(json.dumps({"text": SNOW}, ensure_ascii=False).encode("gb18030") + b"\n")
        file.write(b'{"text": "' + b"x" * 3_000_000 + b'"}\n')


def order(folder: Path, **own: Any) -> building.Order:
    recipe = CorpusRecipe.model_validate(
        {
            "sources": [
                {"name": "lines", "input": "lines", "files": ["*.jsonl"], "date_field": "at", "licence_field": "by"},
                {"name": "manuals", "input": "manuals", "licence": "GFDL-1.2", "rights": "Packaged by Debian."},
                {"name": "pages", "input": "pages", "period": {"from": "2023"}},
            ],
            "steps": STEPS,
            "max_document_mb": 1,
            **own,
        }
    )
    inputs = {
        name: {"repo": f"datasets/ada/{name}", "commit": f"{number}" * 40}
        for number, name in enumerate(("lines", "manuals", "pages", "evals"))
    }
    return building.Order(
        "rain",
        recipe,
        "0" * 64,
        7,
        inputs,
        (folder, folder / "manuals", folder / "pages"),
        steps.Materials(evaluations={"evals": (("q:1", QUESTION),)}),
    )


def files_of(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


if __name__ == "__main__":
    root, engine = Path(sys.argv[1]), sys.argv[2]
    building.build(
        order(root / "sources", engine=engine),
        root / f"work-{engine}",
        workers=1,
        progress=lambda done, total, what: print("progress", done, total, what, flush=True),
        held_bytes=int((sys.argv[3:] or [building.HELD_BYTES])[0]),
    )
