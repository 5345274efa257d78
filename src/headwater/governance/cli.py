"""``headwater grade``: how open a repository is, what that rests on, and what its licences ask for, from the site's API."""

from __future__ import annotations

from typing import Any

import click

from headwater.compute.cli import Client, client_command
from headwater.web.terminal import Output

_KINDS = ("models", "datasets", "spaces")


@click.command("grade")
@click.argument("repo")
@click.option("--lineage", is_flag=True, help="What it was made of, and the verdicts on its licences.")
@client_command
def grade(client: Client, out: Output, *, repo: str, lineage: bool) -> None:
    """How open REPO is as far as its contents show: ns/name, datasets/ns/name or spaces/ns/name."""
    kind, _, name = repo.strip("/").partition("/")
    if kind not in _KINDS or "/" not in name:
        kind, name = "models", repo.strip("/")
    found = client.call("GET", f"/grades/{kind}/{name}{'/lineage' if lineage else ''}")
    if lineage:
        _tell_lineage(out, found)
    else:
        _tell_grade(out, found)


def _tell_grade(out: Output, found: dict[str, Any]) -> None:
    if found["commit"] is None:
        out.result(found, f"{found['repo']} has not been looked at yet; ask again in a moment.")
        return
    rows = [
        [each["criterion"], each["value"], each["basis"], _decision(each), _places(each)] for each in found["evidence"]
    ]
    out.table(("criterion", "value", "basis", "decided", "evidence"), rows, facts=found)
    if out.as_json:
        return
    stale = ", and it has changed since" if found["is_behind"] else ""
    out.note(f"{found['repo']} at {found['commit'][:12]}: {found['label']}{stale}")
    for name, summary in (("verified", found["verified"]), ("with what is declared", found["with_declared"])):
        if summary is not None:
            met = [sum(bool(each["met"]) for each in summary[part]) for part in ("osaid", "eu")]
            mof = summary["mof"]["class"] or "none"
            out.note(
                f"{name}: G{summary['ladder']}; MOF class {mof}; OSAID elements {met[0]} of {len(summary['osaid'])}; "
                f"EU index {met[1]} of {len(summary['eu'])}"
            )


def _decision(row: dict[str, Any]) -> str:
    made = row["override"]
    return "" if made is None else f"{made['value']} ({made['made_by']})"


def _places(row: dict[str, Any]) -> str:
    first = row["evidence"][:1]
    more = f" +{len(row['evidence']) - 1}" if len(row["evidence"]) > 1 else ""
    return "".join(f"{each['repo']}@{each['commit'][:7]}:{each['path'] or ''}" for each in first) + more


def _tell_lineage(out: Output, found: dict[str, Any]) -> None:
    rows = [
        [
            each["outcome"],
            each["what"],
            " → ".join(each["chain"]),
            " ".join(filter(None, (each["licence"], each["clause"]))),
        ]
        for each in found["verdicts"]
    ]
    out.table(("outcome", "what", "chain", "clause"), rows, facts=found)
    if not out.as_json:
        out.note(f"{found['repo']}: {found['outcome']}; {len(found['nodes'])} things, {len(found['edges'])} links")
