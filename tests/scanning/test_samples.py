"""Hostile files are never clean, ordinary ones raise no alarm, and nothing of either is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater import scanning
from tests.scanning.samples import MARKER, Sample
from tests.scanning.samples_texts import harmless, hostile, ordinary

HOSTILE, ORDINARY, HARMLESS = hostile(), ordinary(), harmless()


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARKER).exists()
    assert not any(tmp_path.iterdir())


def test_there_are_as_many_as_promised():
    assert len(HOSTILE) >= 90
    assert len(ORDINARY) >= 8
    assert len({sample.name for sample in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize("sample", HOSTILE, ids=[sample.name for sample in HOSTILE])
def test_a_hostile_file_is_found(sample: Sample):
    judged = scanning.judge(sample.name, scanning.Memory(sample.data))
    assert judged.verdict is not scanning.Verdict.CLEAN
    assert sample.rule in {finding.rule.id for finding in judged.findings}
    assert "gate.not-judged" not in {finding.rule.id for finding in judged.findings}


@pytest.mark.parametrize("sample", ORDINARY, ids=[sample.name for sample in ORDINARY])
def test_an_ordinary_file_raises_no_alarm(sample: Sample):
    judged = scanning.judge(sample.name, scanning.Memory(sample.data))
    assert judged.findings == ()


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_served_harmless_is_told_what_it_is(name: str):
    sample, kind = HARMLESS[name]
    judged = scanning.judge(sample.name, scanning.Memory(sample.data))
    assert judged.findings == ()
    assert kind in judged.kinds


def test_a_card_that_names_itself_as_its_base_is_known():
    assert scanning.names_itself(b"---\nbase_model: [x/y, Ada/Tiny]\n---\n", "ada/tiny")
    assert not scanning.names_itself(b"---\nbase_model: ada/tiny-2\n---\n", "ada/tiny")
    assert not scanning.names_itself(b"no front matter", "ada/tiny")
