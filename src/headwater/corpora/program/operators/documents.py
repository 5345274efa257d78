"""A batch of documents on its way through the operators, between Arrow and Arrow.

An operator changes texts, adds facts, or gives a document the reason for which it goes; one that has a reason is not looked at again. Rows
are never removed: what went and why is part of the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

FACTS: dict[str, Any] = {
    "language": pa.string(),
    "language_score": pa.float32(),
    "n_tokens": pa.int64(),
    "contaminated_by": pa.string(),
}
"""What operators may find out about a document, and its type."""


@dataclass
class Documents:
    """``reasons`` is None for what is still in; ``tallies`` counts what was done, by a name of the operator."""

    texts: list[str]
    reasons: list[str | None] = field(default_factory=list)
    facts: dict[str, list[Any]] = field(default_factory=dict)
    tallies: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not self.reasons:
            self.reasons = [None] * len(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def staying(self) -> Iterator[int]:
        return (row for row, reason in enumerate(self.reasons) if reason is None)

    def drop(self, row: int, reason: str) -> None:
        self.reasons[row] = reason

    def fact(self, name: str) -> list[Any]:
        """The column of a fact, to be filled; None where nothing is known."""
        if name not in FACTS:
            raise KeyError(name)
        return self.facts.setdefault(name, [None] * len(self.texts))

    def to_arrow(self) -> pa.Table:
        columns = {
            "text": pa.array(self.texts, pa.large_string()),
            "reason": pa.array(self.reasons, pa.string()),
        }
        for name, kind in FACTS.items():
            columns[name] = pa.array(self.facts.get(name, [None] * len(self.texts)), kind)
        return pa.table(columns)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Documents:
        """Of a table with ``text``, and what it has of ``reason`` and the facts."""
        names = table.column_names
        return cls(
            table["text"].to_pylist(),
            table["reason"].to_pylist() if "reason" in names else [],
            {name: table[name].to_pylist() for name in FACTS if name in names},
        )


class Operator(Protocol):
    """One step. ``name`` begins each reason that it gives, as in ``language:other``."""

    name: str

    def __call__(self, documents: Documents) -> None: ...
