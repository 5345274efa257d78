"""``headwater check`` and ``headwater repair``."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from headwater.web.terminal import Output, data_option, json_option

SHOWN = 40


@click.command()
@click.option("--quick", is_flag=True, help="Do not read objects: only whether each is there, in its size.")
@click.option("--rate", type=click.IntRange(1), help="Read at most so many MB a second, beside a server that is busy.")
@click.option("--only", multiple=True, help="Only this part of it; may be given several times.")
@click.option("--backup", "where", help="Look at a backup instead (folder, or s3://bucket/prefix): all its snapshots.")
@data_option
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    quick: bool,  # noqa: FBT001 -- click passes flags so
    rate: int | None,
    only: tuple[str, ...],
    where: str | None,
    data_dir: Path,
    as_json: bool,  # noqa: FBT001 -- click passes flags so
) -> None:
    """Look whether everything is there and is what it says; changes nothing, whether the server runs or not.

    Ends with 1 when something is wrong. Collectors wait until it has ended.
    """
    from headwater.cli.backup import require_site
    from headwater.cli.open import open_site, require_servers_user
    from headwater.hub import checking

    names = [name for name, _ in checking.CHECKERS]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no part; there are {', '.join(names)}.", param_hint="--only")
    out = Output(as_json=as_json)
    pace = Pace(rate * 1e6) if rate else None
    if where is not None:
        if only:
            raise click.UsageError("--only is of a site; a backup is looked at as a whole.")
        if not _check_backup(out, where, data_dir, pace, reads_bytes=not quick):
            ctx.exit(1)
        return
    require_servers_user(data_dir)
    require_site(data_dir)
    site = open_site(data_dir)
    try:
        found = checking.check(
            site,
            reads_bytes=not quick,
            only=only,
            pace=pace.wait if pace else lambda _: None,
            on_step=lambda name: out.note(f"Looking at {name}"),
        )
    finally:
        site.close()
    seen = found.seen
    lines = [f"{p.code}: {p.what}\n  {p.mend}" for p in found.problems[:SHOWN]]
    if len(found.problems) > SHOWN:
        lines.append(f"… and {len(found.problems) - SHOWN} more; --json has all.")
    looked = (
        f"{seen.repositories} repositories with {seen.refs} refs, {seen.packs} packs, {seen.files} large files, "
        f"{seen.xorbs} xorbs, {seen.entries} entries; {seen.bytes / 1e6:.0f} MB read in {found.took_s:.1f} s"
    )
    lines.append(f"Nothing is wrong: {looked}." if found.is_good else f"{len(found.problems)} problems: {looked}.")
    facts = {
        "ok": found.is_good,
        "whole": found.is_whole,
        "took_s": round(found.took_s, 2),
        "seen": asdict(seen),
        "problems": [problem.as_facts() for problem in found.problems],
    }
    out.result(facts, "\n".join(lines))
    if not found.is_good:
        ctx.exit(1)


def _check_backup(out: Output, where: str, data_dir: Path, pace: Pace | None, *, reads_bytes: bool) -> bool:
    """Whether nothing is wrong with it."""
    from headwater.cli.backup import place_of
    from headwater.cli.open import require_servers_user
    from headwater.config import read_settings
    from headwater.hub.backup import check_backup

    started = time.monotonic()
    if "://" in where:  # works in the data folder
        require_servers_user(data_dir)
    place = place_of(where, read_settings(data_dir), data_dir)
    found = check_backup(place, reads_bytes=reads_bytes, pace=pace.wait if pace else lambda _: None, on_step=out.note)
    mend = f"headwater backup {where} --read-all brings anew what the site still has"
    lines = [f"{bad.what}\n  Needed by {', '.join(bad.snapshots)}" for bad in found.bad[:SHOWN]]
    if len(found.bad) > SHOWN:
        lines.append(f"… and {len(found.bad) - SHOWN} more; --json has all.")
    took_s = time.monotonic() - started
    looked = f"{found.snapshots} snapshots, {found.objects} objects; {found.bytes / 1e6:.0f} MB read in {took_s:.1f} s"
    lines.append(f"{len(found.bad)} problems: {looked}. {mend}." if found.bad else f"Nothing is wrong: {looked}.")
    facts = {
        "ok": not found.bad,
        "took_s": round(took_s, 2),
        "seen": {"snapshots": found.snapshots, "objects": found.objects, "bytes": found.bytes},
        "problems": [asdict(bad) for bad in found.bad],
    }
    out.result(facts, "\n".join(lines))
    return not found.bad


class Pace:
    """Waits, so that no more than so many bytes a second are read."""

    def __init__(self, bytes_per_s: float) -> None:
        self._rate = bytes_per_s
        self._free_at = time.monotonic()

    def wait(self, n_bytes: int) -> None:
        now = time.monotonic()
        self._free_at = max(self._free_at, now - 1.0) + n_bytes / self._rate
        if self._free_at > now:
            time.sleep(self._free_at - now)


@click.command()
@click.option(
    "--from",
    "where",
    help="A backup (folder, or s3://bucket/prefix), or the address of a site that has the same files.",
)
@click.option("--snapshot", help="Which one of the backup.  [default: the latest]")
@click.option(
    "--token",
    envvar="HEADWATER_PEER_TOKEN",
    help="Of an account there, for private repositories. Better in HEADWATER_PEER_TOKEN.",
)
@data_option
@json_option
@click.pass_context
def repair(
    ctx: click.Context,
    where: str | None,
    snapshot: str | None,
    token: str | None,
    data_dir: Path,
    as_json: bool,  # noqa: FBT001 -- click passes flags so
) -> None:
    """Check, mend what can be mended, and check again. Without --from, only what follows from the record.

    Nothing is believed that comes from elsewhere: it must be what its name says. Ends with 1 if something is still wrong.
    """
    from headwater.cli.backup import place_of, require_site
    from headwater.cli.open import open_site, require_servers_user
    from headwater.hub.checking.peers import PeerFiles
    from headwater.hub.checking.repairing import NoSource, Source, opened_backup
    from headwater.hub.checking.repairing import repair as mend

    out = Output(as_json=as_json)
    require_servers_user(data_dir)
    require_site(data_dir)
    site = open_site(data_dir)
    source: Source = NoSource()
    fetch = None
    try:
        with ExitStack() as stack:
            if where is not None and where.startswith(("http://", "https://")):
                fetch = stack.enter_context(PeerFiles(site, where, token)).fetch
            elif where is not None:
                place = place_of(where, site.settings, data_dir)
                source = stack.enter_context(opened_backup(site, place, snapshot))
            done = mend(site, source, fetch_file=fetch, on_step=out.note)
    finally:
        site.close()
    left = [f"{p.code}: {p.what}" for p in done.after.problems[:SHOWN]]
    text = (
        f"{len(done.before.problems)} problems, {done.n_mended} mended "
        f"({done.objects} objects, {done.rows} rows, {done.refs} refs, {done.files} files fetched), {len(done.after.problems)} left."
    )
    facts = {
        "problems": len(done.before.problems),
        "mended": done.n_mended,
        "left": [problem.as_facts() for problem in done.after.problems],
    }
    out.result(facts, "\n".join([*left, text]))
    if not done.after.is_good:
        ctx.exit(1)
