"""Judgements as JSON values, to be kept or sent, and back."""

from __future__ import annotations

from typing import Any

from headwater.scanning import rules
from headwater.scanning.models import MAX_FINDINGS, MAX_IMPORTS, Finding, Import, Judgement, printable


def to_record(judgement: Judgement) -> dict[str, Any]:
    """The same judgement always gives the same record, key by key."""
    return {
        "verdict": judgement.verdict.name.lower(),
        "findings": [
            {"rule": f.rule.id, "version": f.rule.version, "what": f.what, "offset": f.offset, "member": f.member}
            for f in judgement.findings
        ],
        "imports": [[each.module, each.name, each.is_allowed] for each in judgement.imports],
        "kinds": sorted(judgement.kinds),
    }


def of_record(record: Any) -> Judgement:
    """
    Raises:
        ValueError: it is no record of a judgement under today's rules.
    """
    try:
        findings = tuple(
            Finding(
                rules.ALL[f["rule"]],
                printable(str(f["what"])),
                None if f["offset"] is None else int(f["offset"]),
                printable(str(f["member"]), 4096),
            )
            for f in record["findings"][:MAX_FINDINGS]
        )
        imports = tuple(Import(str(m), str(n), bool(a)) for m, n, a in record["imports"][:MAX_IMPORTS])
        found = Judgement(findings, imports, frozenset(str(kind) for kind in record["kinds"]))
    except (KeyError, TypeError) as exc:
        raise ValueError("this is no record of a judgement") from exc
    if found.verdict.name.lower() != record.get("verdict"):
        raise ValueError("the record's verdict is not that of its findings")
    return found
