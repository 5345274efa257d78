"""Four ways to sum up one set of evidence: MOF class, OSAID elements, the EU index's twelve dimensions, and the simple ladder.

Each is told twice: from what was verified, and from what is declared beside it. None is a verdict of the bodies that wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headwater.governance.facts import CLOSED, DECLARED, OPEN, PARTIAL, UNKNOWN, VERIFIED


class Judged(Protocol):
    """What the summaries need of a row of evidence."""

    @property
    def value(self) -> str: ...
    @property
    def basis(self) -> str: ...
    @property
    def is_open_licence(self) -> bool: ...


Rows = Mapping[str, Judged]

# MOF 1.0 as the Model Openness Tool has it: (component, criterion), by class. The research paper may stand for the technical report.
MOF: Mapping[str, Sequence[tuple[str, str]]] = {
    "III": (
        ("architecture", "architecture"),
        ("parameters", "weights"),
        ("evaluation_results", "evaluation_results"),
        ("model_card", "model_card"),
        ("data_card", "data_card"),
        ("technical_report", "technical_report"),
    ),
    "II": (
        ("training_code", "training_code"),
        ("inference_code", "inference_code"),
        ("evaluation_code", "evaluation_code"),
        ("evaluation_data", "evaluation_data"),
    ),
    "I": (
        ("datasets", "training_data"),
        ("intermediate_parameters", "intermediate_checkpoints"),
        ("preprocessing_code", "preprocessing_code"),
        ("research_paper", "research_paper"),
    ),
}
MOF_OPTIONAL = ("sample_outputs", "supporting_libraries")

OSAID: Mapping[str, Sequence[str]] = {
    "data_information": ("training_data", "data_card", "preprocessing_code"),
    "code": ("training_code", "inference_code", "preprocessing_code"),
    "parameters": ("weights",),
}

# European Open Source AI Index: dimension to criterion.
EU: Sequence[tuple[str, str, str]] = (
    ("availability", "base_data", "base_data"),
    ("availability", "end_data", "training_data"),
    ("availability", "base_weights", "base_weights"),
    ("availability", "end_weights", "weights"),
    ("availability", "training_code", "training_code"),
    ("documentation", "code_documentation", "code_documentation"),
    ("documentation", "hardware", "hardware"),
    ("documentation", "preprint", "technical_report"),
    ("documentation", "paper", "research_paper"),
    ("documentation", "model_card", "model_card"),
    ("documentation", "datasheet", "data_card"),
    ("access", "licences", "licence"),
)


@dataclass(frozen=True)
class Component:
    """``is_met`` None where it is not known."""

    name: str
    criterion: str
    group: str
    value: str
    is_met: bool | None


@dataclass(frozen=True)
class MofClass:
    """``reached`` is "I", "II", "III" or "" for none. ``missing`` is what keeps it from the next class."""

    reached: str
    components: Sequence[Component]
    missing: Sequence[str]


@dataclass(frozen=True)
class Summary:
    ladder: int
    mof: MofClass
    osaid: Sequence[Component]
    eu: Sequence[Component]


def summarise(rows: Rows, *, with_declared: bool) -> Summary:
    """Of a model. ``with_declared`` counts what is only said as if it were seen."""
    counted = rows if with_declared else {key: row for key, row in rows.items() if row.basis != DECLARED}
    return Summary(ladder_of(counted), mof_of(counted), osaid_of(counted), eu_of(counted))


def _value(rows: Rows, criterion: str) -> str:
    row = rows.get(criterion)
    return UNKNOWN if row is None else row.value


def _is_released(rows: Rows, criterion: str) -> bool:
    """MOF: it is there, under an open licence."""
    row = rows.get(criterion)
    return row is not None and row.value == OPEN and row.is_open_licence


def mof_of(rows: Rows) -> MofClass:
    components: list[Component] = []
    reached, missing, is_going_on = "", [], True
    for name, wanted in MOF.items():
        lacking = []
        for component, criterion in wanted:
            is_met = _is_released(rows, criterion)
            if component == "technical_report":
                is_met = is_met or _is_released(rows, "research_paper")
            components.append(Component(component, criterion, name, _value(rows, criterion), is_met))
            if not is_met:
                lacking.append(component)
        if is_going_on and not lacking:
            reached = name
        elif is_going_on:
            missing, is_going_on = lacking, False
    return MofClass(reached, components, missing)


def osaid_of(rows: Rows) -> list[Component]:
    """Which elements hold as far as contents tell; that a system is open source AI remains for people to say."""
    found = []
    for element, criteria in OSAID.items():
        values = [_value(rows, criterion) for criterion in criteria]
        licences = [rows[each].is_open_licence for each in criteria if each in rows]
        value = min(values, key=(CLOSED, PARTIAL, UNKNOWN, OPEN).index)
        if value == CLOSED and any(each in (OPEN, PARTIAL) for each in values):
            value = PARTIAL
        is_met = None if value == UNKNOWN else value == OPEN and all(licences)
        found.append(Component(element, criteria[0], "osaid", value, is_met))
    return found


def eu_of(rows: Rows) -> list[Component]:
    found = []
    for group, name, criterion in EU:
        value = _value(rows, criterion)
        found.append(Component(name, criterion, group, value, None if value == UNKNOWN else value == OPEN))
    return found


def ladder_of(rows: Rows) -> int:
    """0: an interface at most. 1: weights. 2: and the code that trains or runs it. 3: and data that is documented. 4: and the data itself, and a
    second run that gave the same.
    """
    if _value(rows, "weights") not in (OPEN, PARTIAL):
        return 0
    if OPEN not in (_value(rows, "inference_code"), _value(rows, "training_code")):
        return 1
    if _value(rows, "data_card") != OPEN or _value(rows, "training_data") not in (OPEN, PARTIAL):
        return 2
    if _value(rows, "training_data") != OPEN or _value(rows, "reproduction") != OPEN:
        return 3
    return 4


def short(rows: Rows) -> str:
    """Of data sets and code, which have no ladder: the value of what they are."""
    for criterion in ("data", "code"):
        row = rows.get(criterion)
        if row is not None:
            return row.value if row.basis in (VERIFIED, DECLARED) else CLOSED
    return UNKNOWN
