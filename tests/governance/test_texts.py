"""What pages say of rules is what the rules say, and never more than clauses carry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import headwater
from headwater.governance.rules import all_rules
from headwater.licensing.rules import ALL as LINEAGE

ROOT = Path(headwater.__file__).parent
TEXTS = ROOT / "governance" / "texts"


def test_english_pages_say_what_the_rules_say() -> None:
    said = tomllib.loads((TEXTS / "rules.en.toml").read_text("utf-8"))
    for rule in all_rules():
        assert said["openness"]["clause"][rule.criterion] == rule.clause
        assert said["openness"]["reason"][rule.criterion] == dict(rule.reasons)
    assert said["lineage"]["rule"] == {rule.id: rule.says for rule in LINEAGE}


def test_nothing_is_called_lawful_or_not() -> None:
    """Verdicts name the chain and the clause; what follows from them is for people."""
    for folder in ("governance", "licensing"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".toml", ".html"):
                text = path.read_text("utf-8")
                assert not re.search(r"\b(?:il)?legal|lawful|合法|违法|非法", text, re.IGNORECASE), path
