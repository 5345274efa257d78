"""The rows of a data set: files that can be read, for everyone."""

from datetime import date

from headwater.governance.facts import CLOSED, DATASET, OPEN, PARTIAL, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    words: dict[str, str | int] = {"n": len(facts.data_files)}
    licence = (facts.licence, facts.is_open_licence)
    if not facts.data_files:
        if facts.unreadable_data:
            path = facts.unreadable_data[0]
            return Finding(CLOSED, VERIFIED, "unreadable", [facts.at(path)], {"path": path})
        return nothing()
    where = [facts.at(path) for path in facts.data_files[:5]]
    if facts.unreadable_data:
        return Finding(PARTIAL, VERIFIED, "some", where, {**words, "path": facts.unreadable_data[0]}, *licence)
    if facts.is_gated:
        return Finding(PARTIAL, VERIFIED, "gated", where, words, *licence)
    return Finding(OPEN, VERIFIED, "rows", where, words, *licence)


def _data(**values: object) -> Facts:
    return Facts(DATASET, "datasets/lab/d", "d" * 40, **values)  # type: ignore[arg-type]


RULE = Rule(
    criterion="data",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({DATASET}),
    clause="Its files can be read by everyone, and have rows.",
    sources=("MOF 1.0, class I: datasets", "OSAID 1.0: Data information"),
    reasons={
        "rows": "Files with rows: {n}.",
        "gated": "Files with rows: {n}. One has to ask before taking them.",
        "some": "Files with rows: {n}; {path} could not be read.",
        "unreadable": "{path} could not be read as data.",
        "none": "There is no file of data.",
    },
    judge=judge,
    passing=(Case("Rows", _data(data_files=("train.parquet",)), OPEN, VERIFIED),),
    failing=(
        Case("None", _data(), CLOSED),
        Case("Empty", _data(unreadable_data=("train.jsonl",)), CLOSED),
        Case("One of two", _data(data_files=("a.csv",), unreadable_data=("b.csv",)), PARTIAL),
        Case("One has to ask", _data(data_files=("a.csv",), is_gated=True), PARTIAL),
    ),
)
