"""The four summaries on rows made by hand, beside their own published tables."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.governance.facts import DECLARED, NONE, VALUES, VERIFIED
from headwater.governance.frameworks import EU, MOF, OSAID, summarise
from headwater.governance.rules import CRITERIA


@dataclass(frozen=True)
class Row:
    value: str = "open"
    basis: str = VERIFIED
    is_open_licence: bool = True


III = {"architecture", "weights", "evaluation_results", "model_card", "data_card", "technical_report"}
II = {"training_code", "inference_code", "evaluation_code", "evaluation_data"}
I = {"training_data", "intermediate_checkpoints", "preprocessing_code", "research_paper"}  # noqa: E741 - the class's name


def rows(*criteria: str, **others: Row) -> dict[str, Row]:
    found = {name: Row("closed", NONE, is_open_licence=False) for name in CRITERIA}
    return {**found, **dict.fromkeys(criteria, Row()), **others}


@pytest.mark.parametrize(
    ("there", "reached"),
    [
        (set(), ""),
        (III, "III"),
        (III - {"weights"}, ""),
        (III | II, "II"),
        (III | I, "III"),  # a class counts only above the one below
        (II | I, ""),
        (III | II | I, "I"),
        (III | II | I - {"research_paper"}, "II"),
        ((III - {"technical_report"}) | {"research_paper"}, "III"),  # the paper may stand for the report
    ],
)
def test_mof_classes(there: set[str], reached: str) -> None:
    assert summarise(rows(*there), with_declared=False).mof.reached == reached


def test_mof_wants_an_open_licence_for_each_component() -> None:
    closed = summarise(rows(*III, weights=Row(is_open_licence=False)), with_declared=False).mof
    assert closed.reached == ""
    assert closed.missing == ["parameters"]


def test_mof_has_fourteen_required_components() -> None:
    assert sum(map(len, MOF.values())) == 14
    assert len(EU) == 12
    assert set(OSAID) == {"data_information", "code", "parameters"}
    named = {criterion for wanted in MOF.values() for _, criterion in wanted} | {criterion for _, _, criterion in EU}
    assert named <= set(CRITERIA)


def test_what_is_declared_counts_only_where_it_is_asked_for() -> None:
    given_ = rows(*III, evaluation_results=Row(basis=DECLARED))
    assert summarise(given_, with_declared=False).mof.reached == ""
    assert summarise(given_, with_declared=True).mof.reached == "III"
    preprint = {
        each.name: each.value for each in summarise(rows(technical_report=Row(basis=DECLARED)), with_declared=False).eu
    }
    assert preprint["preprint"] == "unknown"


@pytest.mark.parametrize(
    ("there", "step"),
    [
        ((), 0),
        (("weights",), 1),
        (("inference_code", "training_code"), 0),
        (("weights", "inference_code"), 2),
        (("weights", "training_code", "data_card", "training_data"), 3),
        (("weights", "training_code", "data_card", "training_data", "reproduction"), 4),
        (("weights", "data_card", "training_data", "reproduction"), 1),
    ],
)
def test_the_ladder(there: tuple[str, ...], step: int) -> None:
    assert summarise(rows(*there), with_declared=False).ladder == step


def test_osaid_elements() -> None:
    all_ = summarise(rows(*III, *II, *I), with_declared=False)
    assert [(each.name, each.is_met) for each in all_.osaid] == [
        ("data_information", True),
        ("code", True),
        ("parameters", True),
    ]
    some = summarise(rows("training_code", "inference_code"), with_declared=False)
    assert {each.name: (each.value, each.is_met) for each in some.osaid}["code"] == ("partial", False)
    unknown = summarise(
        rows("data_card", "preprocessing_code", training_data=Row("unknown", VERIFIED)), with_declared=False
    )
    assert {each.name: each.is_met for each in unknown.osaid}["data_information"] is None


@given(
    st.dictionaries(
        st.sampled_from(sorted(CRITERIA)),
        st.builds(Row, st.sampled_from(VALUES), st.sampled_from([VERIFIED, DECLARED]), st.booleans()),
    )
)
def test_more_can_never_be_verified_than_is_said(found: dict[str, Row]) -> None:
    verified, said = summarise(found, with_declared=False), summarise(found, with_declared=True)
    order = ["", "III", "II", "I"]
    assert verified.ladder <= said.ladder
    assert order.index(verified.mof.reached) <= order.index(said.mof.reached)
