"""A corpus from files of every format to what is committed: reasons, figures, the same bytes again, after a kill and on Ray."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from headwater.corpora import report as reports
from headwater.corpora.program import building, materials, reading, steps
from headwater.corpora.program.problems import CannotBuild
from headwater.corpora.recipe import CorpusRecipe, Decontaminate, Source
from tests.corpora.building import SNOW, files_of, lay_out, order
from tests.corpora.texts import EN, ZH

pytestmark = pytest.mark.corpora
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources, and a corpus that daft built of them in ``work-native/out``."""
    root = tmp_path_factory.mktemp("corpus")
    lay_out(root / "sources")
    _run(root, "native")
    return root


def _run(root: Path, engine: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.corpora.building", str(root), engine],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_document_stays_or_goes_with_a_reason(built: Path) -> None:
    out = built / "work-native" / "out"
    kept = pq.read_table(out / "data").to_pylist()
    drops = {row["id"]: row for row in pq.read_table(out / "drops").to_pylist()}
    report = json.loads((out / reports.FILE).read_text())
    assert len(kept) + len(drops) == report["total"]["in"]["documents"]
    assert len({row["id"] for row in kept} | set(drops)) == len(kept) + len(drops)
    reasons = [row["reason"] for row in drops.values()]
    for wanted in (
        "source:empty", "source:no_text", "source:not_json", "source:too_long", "unwanted:word",
        "contamination:evals", "exact:copy", "fuzzy:near",
    ):  # fmt: skip
        assert wanted in reasons, (wanted, sorted(reasons))
    texts = {row["id"]: row["text"] for row in kept}
    assert texts["lines/lines.jsonl@0"] == ZH
    copies = [row for row in drops.values() if row["reason"] == "exact:copy" and row["source"] == "lines"]
    assert [row["copy_of"] for row in copies] == ["lines/lines.jsonl@0"]
    near = [row for row in drops.values() if row["reason"] == "fuzzy:near" and row["source"] == "lines"]
    assert near[0]["copy_of"] == "lines/lines.jsonl@0"
    assert 0.7 <= near[0]["similarity"] < 1
    assert any("<EMAIL>" in text for text in texts.values())
    assert SNOW in texts.values()  # was GB18030
    assert {row["language"] for row in kept} == {"zh", "en"}
    assert next(row["contaminated_by"] for row in drops.values() if row["contaminated_by"]) == "evals#q:1"


def test_the_report_adds_up(built: Path) -> None:
    out = built / "work-native" / "out"
    kept = pq.read_table(out / "data").to_pylist()
    found = reports.parse((out / reports.FILE).read_bytes())
    assert found.kept.documents == len(kept)
    assert found.kept.size_bytes == sum(len(row["text"].encode()) for row in kept)
    assert found.kept.tokens == sum(row["n_tokens"] for row in kept)
    assert found.steps[0].before == found.read.documents
    assert found.steps[-1].after == found.kept.documents
    assert all(a.after == b.before for a, b in zip(found.steps, found.steps[1:], strict=False))
    assert sum(drop.documents for drop in found.drops) == found.read.documents - found.kept.documents
    lines, manuals, pages = found.sources
    assert (lines.first, lines.last) == ("2020-03-01", "2020-03-01")
    assert dict(lines.encodings)["gb18030"] == 1
    assert dict(lines.pii)["email"] == 1
    assert (manuals.licence, dict(manuals.formats)) == ("GFDL-1.2", {"man": 80})
    assert pages.first == "2023"
    assert found.is_estimated
    card = (out / "README.md").read_text()
    assert "| manuals |" in card
    assert "license" not in card.split("---")[1]


def test_the_same_again_is_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again, _ = building.build(order(built / "sources"), tmp_path / "work", workers=2)
    assert files_of(again) == files_of(built / "work-native" / "out")


def test_a_build_that_was_killed_goes_on_and_ends_the_same(built: Path, tmp_path: Path) -> None:
    (tmp_path / "sources").symlink_to(built / "sources")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.corpora.building", str(tmp_path), "native", "1"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert next(line for line in process.stdout if line.startswith("progress 1 "))
        os.killpg(process.pid, signal.SIGKILL)
    notes: list[str] = []
    out, _ = building.build(order(tmp_path / "sources"), tmp_path / "work-native", workers=1, note=notes.append)
    assert "of 4 segments were done by an earlier attempt" in notes[0]
    assert files_of(out) == files_of(built / "work-native" / "out")


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_ray_gives_the_same_bytes(built: Path) -> None:
    pytest.importorskip("ray")
    _run(built, "ray")
    ours, theirs = files_of(built / "work-native" / "out"), files_of(built / "work-ray" / "out")
    assert ours == theirs


def test_a_preview_shows_examples_and_writes_nothing(built: Path) -> None:
    shown = building.show(order(built / "sources"), limit=60)
    assert shown["documents"] <= 63
    assert shown["dropped"]["exact:copy"]["examples"][0]["copy_of"] == "lines/lines.jsonl@0"
    assert shown["dropped"]["source:not_json"]["examples"][0]["text"] == "{broken"
    assert "<EMAIL>" in json.dumps(shown["changed"]["pii"]["examples"])
    assert len(json.dumps(shown).encode()) < 64 << 10


# ---- bad input


def test_a_line_of_any_length_takes_bounded_memory(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("wb") as file:
        file.write(b'{"text": "' + b"\0")
        file.truncate(1 << 30)  # one line of a gigabyte, and nothing in it ends it
        file.seek(0, os.SEEK_END)
        file.write(b'"}\n{"text": "the last"}\n')
    source = Source(name="long", input="long")
    files = reading.list_files(source, tmp_path)
    tracemalloc.start()
    found = [
        (document_id, reason, n_bytes)
        for segment in reading.segments_of([files])
        for batch in reading.read(segment, source, max_document_bytes=1 << 20)
        for document_id, reason, n_bytes in zip(batch.ids, batch.reasons, batch.n_bytes, strict=True)
    ]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [
        ("long/long.jsonl@0", "source:too_long", (1 << 30) + 3),
        (f"long/long.jsonl@{(1 << 30) + 3}", None, 21),
    ]
    assert peak < 64 << 20


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_where_a_file_is_cut_makes_no_difference(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps({"text": EN[:n]}) for n in range(0, 120, 7)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr(reading, "SEGMENT_BYTES", size)
    source = Source(name="a", input="a")
    segments = reading.segments_of([reading.list_files(source, tmp_path)])
    found = [
        data.decode()
        for s in segments
        for batch in reading.read(s, source, max_document_bytes=1000)
        for data in batch.data
    ]
    assert found == [EN[:n] for n in range(0, 120, 7)]


def test_what_cannot_be_read_is_told_before_anything_runs(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(pq.read_table(_small_table(tmp_path / "t.parquet")), whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-20])
    (tmp_path / "t.parquet").rename(tmp_path / "fine.parquet")
    with pytest.raises(CannotBuild, match=r"cut\.parquet is not a whole Parquet file") as told:
        reading.list_files(Source(name="s", input="s"), tmp_path)
    assert told.value.code == "source_unreadable"
    with pytest.raises(CannotBuild, match=r"has no column 'body'; its columns are text"):
        reading.list_files(Source(name="s", input="s", files=("whole.parquet",), text_field="body"), tmp_path)
    with pytest.raises(CannotBuild, match="no file of a known format matches"):
        reading.list_files(Source(name="s", input="s", files=("*.pdf",)), tmp_path)
    with pytest.raises(CannotBuild, match="is not there"):
        reading.list_files(Source(name="s", input="s"), tmp_path / "nowhere")


def _small_table(path: Path) -> Path:
    pq.write_table(pa.table({"text": [EN, ZH]}), path)
    return path


def test_what_a_link_leads_to_outside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(EN)
    (tmp_path / "in" / "b.txt").symlink_to(tmp_path / "secret.txt")
    assert [file.name for file in reading.list_files(Source(name="s", input="s"), tmp_path / "in")] == ["a.txt"]


def test_evaluation_data_are_read_from_their_input_alone(tmp_path: Path) -> None:
    """Not what other runs have left beside it, neither by the pattern nor by a link."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.jsonl").write_text(json.dumps({"text": ZH}))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text(json.dumps({"text": EN}))
    (tmp_path / "in" / "b.jsonl").symlink_to(tmp_path / "other" / "secret.jsonl")
    sources = [{"name": "s", "input": "s"}]
    step = {"op": "decontaminate", "input": "s"}
    recipe = CorpusRecipe.model_validate({"sources": sources, "steps": [step]})
    found = materials.gather(recipe, lambda name: tmp_path / "in", lambda name: name)
    assert found.evaluations == {"s": (("a.jsonl:0", EN),)}
    for pattern in ("../other/*.jsonl", "a/../../other/*", "/etc/*", "", ".", "**a", "a**/b"):
        with pytest.raises(ValidationError, match="files"):
            CorpusRecipe.model_validate({"sources": sources, "steps": [step | {"files": [pattern]}]})
        with pytest.raises(ValidationError, match="files"):
            CorpusRecipe.model_validate({"sources": [sources[0] | {"files": [pattern]}]})
    unsafe = Decontaminate.model_construct(
        op="decontaminate", input="s", files=("../other/*.jsonl",), fields=(), n=13, min_units=8
    )
    assert materials._items(unsafe, tmp_path / "in")[0] == ()


def test_nothing_of_a_build_stays_once_its_corpus_is_committed(tmp_path: Path) -> None:
    for name in ("out/data", "segments/000000"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        (tmp_path / "corpus" / name / "texts").write_text(EN)
    building.clear(tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_file_that_breaks_off_is_told_and_never_read_as_a_shorter_one(part: float, tmp_path: Path) -> None:
    lines = b"".join(json.dumps({"text": f"{n} {EN} {ZH}"}).encode() + b"\n" for n in range(300))
    packed = gzip.compress(lines)
    (tmp_path / "lines.jsonl.gz").write_bytes(packed[: int(part * len(packed))])
    source = Source(name="s", input="s")
    with pytest.raises(CannotBuild, match=r"lines\.jsonl\.gz cannot be read to its end") as told:
        _read_all(source, tmp_path)
    assert told.value.code == "source_unreadable"


def test_a_parquet_file_whose_pages_are_broken_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [f"{n} {EN}" for n in range(5000)]}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[2000 : len(data) - 3000] = os.urandom(len(data) - 5000)  # the footer is whole
    path.write_bytes(data)
    with pytest.raises(CannotBuild, match=r"rows\.parquet cannot be read to its end"):
        _read_all(Source(name="s", input="s"), tmp_path)


def _read_all(source: Source, folder: Path) -> list[bytes]:
    segments = reading.segments_of([reading.list_files(source, folder)])
    return [
        data
        for each in segments
        for batch in reading.read(each, source, max_document_bytes=10**6)
        for data in batch.data
    ]


def test_chinese_bytes_with_a_wrong_label_and_broken_ones_are_read(tmp_path: Path) -> None:
    """Of a text, of a page, and of JSON, each saying that it is UTF-8."""
    (tmp_path / "a.txt").write_bytes(ZH.encode("gb18030"))
    page = f'<html><head><meta charset="utf-8"></head><body><article><p>{ZH}</p><p>{ZH}</p></article></body></html>'
    (tmp_path / "b.html").write_bytes(page.encode("gb18030"))
    (tmp_path / "c.jsonl").write_bytes(json.dumps({"text": ZH}, ensure_ascii=False).encode("gb18030"))
    broken = ZH.encode()
    (tmp_path / "d.txt").write_bytes(broken[:90] + b"\xe6\xff" + broken[90:])
    (tmp_path / "e.txt").write_bytes(os.urandom(4000))
    source = Source(name="s", input="s", encoding="utf-8")
    recipe = CorpusRecipe.model_validate({"sources": [{"name": "s", "input": "s"}], "steps": [{"op": "normalize"}]})
    local = steps.LocalSteps(recipe, steps.Materials())
    texts, reasons, encodings = {}, {}, Counter[str]()
    for segment in reading.segments_of([reading.list_files(source, tmp_path)]):
        for batch in reading.read(segment, source, max_document_bytes=10**6):
            table, documents = local.run(batch.to_arrow())
            texts.update(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
            reasons.update(zip(table["id"].to_pylist(), table["reason"].to_pylist(), strict=True))
            encodings.update({name: n for name, n in documents.tallies.items() if name.startswith("encoding.")})
    assert texts["s/a.txt"] == ZH
    assert texts["s/b.html"].count(ZH) == 2
    assert texts["s/c.jsonl@0"] == ZH
    assert texts["s/d.txt"] == ZH
    assert reasons["s/e.txt"] == "source:not_text"
    assert encodings == {"encoding.gb18030": 3, "encoding.utf-8, broken": 1}


@pytest.mark.parametrize("named", ["a hundred times over", "once each"])
def test_long_values_of_a_small_parquet_file_take_bounded_memory(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = pa.array(["x" * 2_000_000])
    if named == "once each":
        monkeypatch.setattr(reading, "_DECODED_BYTES", 8 << 20)
        monkeypatch.setattr(reading, "_FEW_ROWS", 4)
        table, dictionary = pa.table({"text": pa.concat_arrays([text] * 40)}), False
    else:
        table, dictionary = (
            pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), text)}),
            True,
        )
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=dictionary)
    del table
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    source = Source(name="s", input="s")
    segments = reading.segments_of([reading.list_files(source, tmp_path)])
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    found = next(reading.read(segments[0], source, max_document_bytes=10**7))
    held = pa.total_allocated_bytes() - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.data[0] == b"x" * 2_000_000
    assert len(found.data) < 10
    assert (peak < 64 << 20, held < 64 << 20) == (True, True), (peak, held)


def test_a_parquet_file_may_hold_what_python_has_no_form_for(tmp_path: Path) -> None:
    """Text that is no UTF-8, and a time of the year 146,000."""
    raw = pa.array([EN.encode(), ZH.encode("gb18030"), None], pa.binary())
    broken = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0])
    times = pa.array([2**62, 0, 0], pa.timestamp("us"))
    pq.write_table(pa.table({"text": broken, "at": times}), tmp_path / "a.parquet")
    source = Source(name="s", input="s", date_field="at")
    segment = reading.segments_of([reading.list_files(source, tmp_path)])[0]
    [batch] = reading.read(segment, source, max_document_bytes=10**6)
    assert batch.data == [EN.encode(), ZH.encode("gb18030"), b""]
    assert batch.dates == [None, "1970-01-01", None]
    assert batch.reasons == [None, None, "source:no_text"]
    step = Decontaminate.model_validate({"op": "decontaminate", "input": "s"})
    found, problems = materials._items(step, tmp_path)
    assert (found[0], len(found), problems) == (("a.parquet:0", EN), 2, [])


def test_evaluation_data_may_be_as_deep_as_json_goes(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": ' + "[" * 1000 + f'"{EN}", "b"' + "]" * 1000 + "}")
    step = Decontaminate.model_validate({"op": "decontaminate", "input": "s"})
    assert materials._items(step, tmp_path) == ((("a.jsonl:0", EN), ("a.jsonl:0", "b")), [])


def test_a_preview_of_nothing_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    recipe = CorpusRecipe.model_validate({"sources": [{"name": "s", "input": "s"}]})
    empty = building.Order("s", recipe, "0" * 64, 1, {}, (tmp_path,), steps.Materials())
    assert building.show(empty, limit=5)["documents"] == 0


def test_nothing_left_says_why(tmp_path: Path) -> None:
    """A dataset without a usable row: no text, empty ones, ones that are too short."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("short")
    pq.write_table(pa.table({"text": pa.array([None, None, None], pa.string())}), tmp_path / "in" / "b.parquet")
    (tmp_path / "in" / "c.jsonl").write_text('{"text": ""}\n{"text": " \\u3000 "}\n')
    recipe = CorpusRecipe.model_validate({"sources": [{"name": "s", "input": "s"}]})
    made = order(tmp_path)
    small = building.Order(
        "s", recipe, made.recipe_sha256, 1, {"s": {"repo": "r", "commit": "c"}}, (tmp_path / "in",), made.materials
    )
    with pytest.raises(CannotBuild, match=r"left of 6 \(source:no_text 3, source:empty 2, rules:too_short 1\)"):
        building.build(small, tmp_path / "work", workers=1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[]", "format"),
        (b"{", "Expecting"),
        (b'{"format": "headwater-corpus-report/1", "total": [], "sources": [1, {"in": {"documents": "x"}}]}', None),
        (b'{"format": "headwater-corpus-report/1", "steps": {"a": 1}, "total": {"in": {"documents": 1e999}}}', None),
    ],
)
def test_a_report_that_somebody_else_wrote_breaks_nothing(data: bytes, said: str | None) -> None:
    if said is None:
        assert reports.parse(data).kept.documents == 0
    else:
        with pytest.raises(reports.NoReport, match=said):
            reports.parse(data)


def test_a_count_of_any_length_is_a_number() -> None:
    assert reports.number(10**400) == 1 << 60
    assert reports.number(-(10**400)) == reports.number(float("nan")) == reports.number(float("inf")) == 0


def test_a_name_and_its_count_stand_apart() -> None:
    from jinja2 import Environment, FileSystemLoader

    pages = Environment(loader=FileSystemLoader(ROOT / "src/headwater/corpora/templates"), autoescape=True)
    pages.filters["number"] = str
    shown = pages.from_string("{% from 'parts.html' import counts %}{{ counts(rows) }}").render(rows=[("utf-8", 6)])
    assert "utf-8&nbsp;<" in shown  # a chip is a flex box: a blank at the end of a part of it is not there
