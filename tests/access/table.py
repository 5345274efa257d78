"""Reads the table of who may do what (``table.toml``), and knows what each of its words looks like in each dialect."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from headwater.web.routing import Access

PATH = Path(__file__).parent / "table.toml"


@dataclass(frozen=True)
class Rule:
    """``answers`` has a word for each asker, by visibility (or under ``any`` where no repository is named)."""

    name: str
    what: str
    answers: dict[str, dict[str, str]]
    routes: dict[str, int]  # "GET /pattern" -> the status of a yes


@dataclass(frozen=True)
class Table:
    who: tuple[str, ...]
    who_is: dict[str, str]
    words: dict[str, str]
    statuses: dict[str, dict[str, list[int]]]  # dialect -> word -> statuses
    rules: tuple[Rule, ...]


def read_table(path: Path = PATH) -> Table:
    """Raises: ValueError where a row is not as long as there are askers, or says a word that is not explained."""
    given = tomllib.loads(path.read_text())
    who = tuple(given["who"])
    rules = []
    for name, rule in given["rules"].items():
        answers = {}
        for visibility in ("any", "public", "private", "gated"):
            if visibility not in rule:
                continue
            row = rule[visibility].split()
            if len(row) != len(who) or not set(row) <= set(given["words"]):
                raise ValueError(f"rule {name}, row {visibility}: {row}")
            answers[visibility] = dict(zip(who, row, strict=True))
        rules.append(Rule(name, rule["what"], answers, rule["routes"]))
    return Table(who, given["who"], given["words"], given["statuses"], tuple(rules))


# Which declared accesses may stand behind which answers to a stranger: a table that says otherwise is wrong itself.
OPEN = frozenset({Access.PUBLIC, Access.UNASKED, Access.SIGNED_LINK, Access.READ})
