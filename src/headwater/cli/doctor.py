"""``headwater doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from headwater import surroundings
from headwater.config import BadConfiguration, ServerSettings, read_settings
from headwater.db import SQLITE_FILE, DatabaseSettings
from headwater.kernel import HeadwaterError, Settings
from headwater.running import is_running
from headwater.surroundings import Finding, Verdict
from headwater.web.terminal import Output, data_option, json_option

_MARKS = {Verdict.GOOD: ("ok  ", "green"), Verdict.WARNING: ("warn", "yellow"), Verdict.BAD: ("bad ", "red")}


@click.command()
@data_option
@json_option
def doctor(data_dir: Path, as_json: bool) -> int:  # noqa: FBT001 -- click passes flags so
    """Find what is missing or wrong here, and how to mend it. Exit code 1 when something is bad."""
    out = Output(as_json=as_json)
    findings = list(_findings(data_dir.absolute()))
    facts = [
        {"check": one.name, "verdict": one.verdict.value, "found": one.found, "mend": one.mend} for one in findings
    ]
    n_bad = sum(one.verdict is Verdict.BAD for one in findings)
    if as_json:
        out.result({"healthy": n_bad == 0, "checks": facts})
    else:
        for one in findings:
            mark, colour = _MARKS[one.verdict]
            click.echo(f"{click.style(mark, fg=colour)} {one.name}: {one.found}")
            if one.mend:
                click.echo(f"     {one.mend}")
        click.echo("Nothing stands in the way." if n_bad == 0 else f"{n_bad} to mend before it can work.")
    return 1 if n_bad else 0


def _findings(data_dir: Path) -> Iterator[Finding]:
    yield surroundings.check_python()
    yield surroundings.check_git()
    yield surroundings.check_git_lfs()
    yield surroundings.check_open_files()
    yield surroundings.check_namespaces()
    yield from surroundings.check_extras()
    yield from surroundings.check_folder(data_dir)
    try:
        settings = read_settings(data_dir)
    except BadConfiguration as bad:
        for problem in bad.problems:
            yield Finding("configuration", Verdict.BAD, problem, "docs/settings.md lists what can be set.")
        return
    yield Finding("configuration", Verdict.GOOD, "The configuration can be read.")
    yield from _check_database(data_dir, settings)
    yield _check_engines(settings)
    own = settings.of(ServerSettings)
    yield surroundings.check_port(own.host, own.port, is_ours=is_running(data_dir))
    if own.url is None and own.host not in ("127.0.0.1", "localhost", "::1"):
        mend = "Set HEADWATER_URL to the address that people use, once that is to stay."
        yield Finding("url", Verdict.WARNING, "Links to clients will carry this machine's own address.", mend)


def _check_engines(settings: Settings) -> Finding:
    """What this machine can serve models with; a site without is whole all the same."""
    from headwater.serving.engines import available

    found = available(settings)
    if not found:
        return Finding(
            "engines", Verdict.GOOD, "None: no models are served here. `headwater engine install llama.cpp` builds one."
        )
    return Finding("engines", Verdict.GOOD, ", ".join(f"{name} ({where})" for name, where in found.items()))


def _check_database(data_dir: Path, settings: Settings) -> Iterator[Finding]:
    """SQLite's own abilities, or whether PostgreSQL answers and will do; then what stands in it, where there is one."""
    if settings.of(DatabaseSettings).url is None:
        yield surroundings.check_sqlite()
        if (data_dir / SQLITE_FILE).exists():
            yield from _check_inside(data_dir)
        return
    try:
        findings = list(_check_inside(data_dir))
    except HeadwaterError as error:
        yield Finding("database", Verdict.BAD, error.message)
        return
    yield Finding("database", Verdict.GOOD, "PostgreSQL answers, and can be used.")
    yield from findings


def _check_inside(data_dir: Path) -> Iterator[Finding]:
    """What the database tells of work that does not go on."""
    from headwater import queue
    from headwater.cli.open import open_site
    from headwater.hub.collector.clock import find_stop

    site = open_site(data_dir)
    try:
        with site.db.reading() as tx:
            stop, n_failed = find_stop(tx), queue.count_by_state(tx).get("failed", 0)
    finally:
        site.db.close()
    if stop is None:
        yield Finding("collector", Verdict.GOOD, "The collector may run.")
    else:
        found = f"The clock said {stop.noticed_at:%Y-%m-%d %H:%M} when the collector last ran at {stop.last_run_at:%Y-%m-%d %H:%M}."
        mend = "Nothing is collected until you have looked at the clock: headwater collector confirm"
        yield Finding("collector", Verdict.WARNING, found, mend)
    if n_failed:
        mend = "Look at the page /admin/storage, mend what is named there, and have them tried again."
        yield Finding("jobs", Verdict.WARNING, f"Jobs that were given up: {n_failed}.", mend)
    else:
        yield Finding("jobs", Verdict.GOOD, "No job was given up.")
