"""The judge in a child: the same judgement, and a child that fails is *suspicious*, never clean."""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path

import pytest

from headwater import scanning
from headwater.scanning import Limits, Memory, Opened
from tests.scanning.samples_texts import hostile, ordinary

CHOSEN = [
    sample
    for sample in (*hostile(), *ordinary())
    if sample.name in ("runpy.pkl", "model.pt", "up.tar", "template.gguf", "table.parquet")
]


@pytest.mark.parametrize("sample", CHOSEN, ids=[f"{s.name} {s.rule}" for s in CHOSEN])
def test_a_child_judges_as_its_parent_does(sample, tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(sample.data)
    descriptor = os.open(path, os.O_RDONLY)
    here = scanning.judge(sample.name, Memory(sample.data))
    try:
        assert scanning.judge_apart(sample.name, Opened(descriptor, len(sample.data))) == here
    finally:
        os.close(descriptor)
    assert scanning.judge_apart(sample.name, Memory(sample.data)) == here


def not_judged(judgement: scanning.Judgement) -> str:
    assert judgement.verdict is scanning.Verdict.SUSPICIOUS
    (finding,) = judgement.findings
    assert finding.rule.id == "gate.not-judged"
    return finding.what


def test_a_judge_that_takes_too_long_is_ended():
    endless = pickle.dumps([1], 4)[:-1] + b"0N" * 20_000_000 + b"."
    assert "took too" in not_judged(scanning.judge_apart("a.pkl", Memory(endless), Limits(time_s=0.6)))


def test_a_judge_that_takes_too_much_processor_time_is_ended():
    endless = pickle.dumps([1], 4)[:-1] + b"0N" * 20_000_000 + b"."
    assert "processor" in not_judged(scanning.judge_apart("a.pkl", Memory(endless), Limits(cpu_s=1)))


def test_a_judge_that_takes_too_much_memory_is_ended():
    large = b'{"a": [' + b"[]," * 1_200_000 + b"[]]}"
    assert not_judged(scanning.judge_apart("config.json", Memory(large), Limits(memory_bytes=130 << 20)))


def test_a_child_writes_no_file(tmp_path: Path):
    squeezed = zlib.compress(bytes(1 << 20))
    assert scanning.judge_apart("a.joblib", Memory(squeezed)).findings
    assert not any(tmp_path.iterdir())


def test_an_error_of_the_source_is_the_callers():
    class Broken:
        size_bytes = 100

        def read_at(self, start: int, count: int) -> bytes:
            raise OSError("the store is away")

    with pytest.raises(OSError, match="the store is away"):
        scanning.judge_apart("a.pkl", Broken())


def test_records_of_judgements_come_back():
    for sample in hostile()[:60]:
        judged = scanning.judge(sample.name, Memory(sample.data))
        assert scanning.of_record(scanning.to_record(judged)) == judged
    with pytest.raises(ValueError, match="verdict"):
        scanning.of_record(scanning.to_record(judged) | {"verdict": "clean"})


def test_another_scanner_is_asked_too():
    pytest.importorskip("picklescan")
    evil = next(sample.data for sample in hostile() if sample.name == "os.system.pkl")
    told = scanning.second_opinion("a.pkl", Memory(evil))
    assert told is not None
    assert told["verdict"] == "dangerous"
    assert told["globals"] == [["os", "system", "dangerous"]]
    assert scanning.second_opinion("a.pkl", Memory(pickle.dumps([1, 2])))["verdict"] == "clean"
    assert scanning.second_opinion("a.txt", Memory(evil)) is None
    assert scanning.second_opinion("a.pkl", Memory(evil), Limits(time_s=0.0))["verdict"] == "error"
