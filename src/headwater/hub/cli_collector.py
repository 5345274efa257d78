"""``headwater collector``: what the collector does, and how to let it go on after the clock has jumped."""

from __future__ import annotations

from dataclasses import asdict

import click

from headwater.hub import collector as collecting
from headwater.hub.collector import clock
from headwater.hub.xet import store as xet_store
from headwater.kernel import to_iso, utcnow
from headwater.web import Site
from headwater.web.terminal import Output, site_command


@click.group("collector")
def collector() -> None:
    """Removes bytes that nobody may read any more."""


@collector.command("status")
@site_command
def status(site: Site, out: Output) -> None:
    """When it last ran, and whether it waits for you."""
    last, stop = site.db.read(clock.find_last_run), site.db.read(clock.find_stop)
    facts = {
        "last_run_at": None if last is None else to_iso(last),
        "stopped": stop is not None,
        "clock_noticed": None if stop is None else to_iso(stop.noticed_at),
    }
    text = "It has not run yet." if last is None else f"It last ran at {to_iso(last)}."
    if stop is not None:
        text += f"\n{clock.ClockJumped(stop).message}"
    out.result(facts, text)


@collector.command("run")
@site_command
def run(site: Site, out: Output) -> None:
    """Run it now, whether the server runs or not."""
    done = collecting.collect(site, now=utcnow())
    removed = done.blobs_removed + done.xorbs_removed + done.orphans_removed
    out.result(asdict(done), f"Removed {removed} files, {done.bytes_freed} bytes.")


@collector.command("confirm")
@site_command
def confirm(site: Site, out: Output) -> None:
    """Say that the clock is right; the collector then goes on."""
    now = utcnow()
    site.db.write(clock.confirm_clock, now)
    out.result({"confirmed_at": to_iso(now)}, f"The collector goes on, counting from {to_iso(now)}.")


@collector.command("forget-uploads")
@site_command
def forget_uploads(site: Site, out: Output) -> None:
    """After a restore, or when stored bytes were lost: make every client send again what it believes to be here."""
    epoch = site.db.write(xet_store.raise_epoch)
    out.result({"epoch": epoch}, f"Clients will send again what they sent before (epoch {epoch}).")
