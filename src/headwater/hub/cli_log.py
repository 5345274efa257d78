"""``headwater log``: how far the log has come, who confirms it, and what to do when its key or its end is lost."""

from __future__ import annotations

import click

from headwater import accounts
from headwater.db.moving import BEHIND, find_move
from headwater.hub.log import sequencing, witnesses
from headwater.kernel import SYSTEM, to_iso, utcnow
from headwater.ledger import keys, sequencer
from headwater.ledger.notes import COSIGNS
from headwater.web import Site
from headwater.web.terminal import Output, site_command


@click.group("log")
def log() -> None:
    """The transparency log of this site."""


@log.command("status")
@site_command
def status(site: Site, out: Output) -> None:
    """How many entries it has, what was signed last, and what its witnesses have confirmed."""
    with site.db.reading() as tx:
        identity, size, last = keys.find_log(tx), sequencer.size_of(tx), sequencer.find_checkpoint(tx)
        confirmed = [] if identity is None else sequencer.list_cosignatures(tx, identity.generation)
        move = find_move(tx)
    facts = {
        "key": None if identity is None else str(identity.key),
        "witness_key": None if identity is None else str(identity.key.with_kind(COSIGNS)),
        "size": size,
        "signed_size": None if last is None else last.size,
        "signed_at": None if last is None else to_iso(last.signed_at),
        "witnesses": [{"name": name, "size": to, "at": to_iso(at)} for name, to, at in confirmed],
        "refused_because": move.target if move is not None and move.state == BEHIND else None,
    }
    lines = [f"Entries: {size}", f"Key: {facts['key']}", f"As a witness: {facts['witness_key']}"]
    lines.append("Nothing is signed yet." if last is None else f"Signed: {last.size} entries at {facts['signed_at']}")
    lines += [f"Confirmed by {name}: {to} entries at {to_iso(at)}" for name, to, at in confirmed]
    if facts["refused_because"]:
        lines.append(f"No changes are taken: {facts['refused_because']}.")
    out.result(facts, "\n".join(lines))


@log.command("sign")
@site_command
def sign(site: Site, out: Output) -> None:
    """Number and sign now what waits; the running server does so by itself every second."""
    n = sequencing.bring_up_to_date(site)
    out.result({"numbered": n, "size": site.db.read(sequencer.size_of)}, f"Entries numbered: {n}.")


@log.command("rebuild-tiles")
@site_command
def rebuild_tiles(site: Site, out: Output) -> None:
    """Make every tile again out of the entries' hashes, where `headwater check` found one that differs."""
    n = site.db.write(sequencer.rebuild_tiles)
    out.result({"tiles": n}, f"Tiles made: {n}.")


@log.command("begin-anew")
@click.option("--reason", required=True, help="Why; everyone who follows the log will read it.")
@site_command
def begin_anew(site: Site, out: Output, *, reason: str) -> None:
    """Go on from here under another name and key: after a restore of less than others have seen, or a lost key.

    Everyone who keeps a checkpoint of the former log will see that it was left, and the reason.
    """
    identity = site.db.read(accounts.find_identity)
    assert identity is not None  # noqa: S101 -- the site was opened
    key = witnesses.begin_anew(site, SYSTEM, identity.id, reason)
    sequencing.bring_up_to_date(site)
    out.result({"key": key, "at": to_iso(utcnow())}, f"The log goes on with the key {key}. Tell those who follow it.")
