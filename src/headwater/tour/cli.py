"""``headwater tour``: the whole chain on a running site, on real input."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.kernel import SYSTEM, utcnow
from headwater.web.terminal import Output, data_option, json_option

if TYPE_CHECKING:
    from headwater.tour.material import Texts
    from headwater.tour.walking import Done
    from headwater.web.site import Site

PERSON = "tour"


@click.command()
@data_option
@json_option
@click.option(
    "--text",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="A folder of texts for the corpus.  [default: Debian's documentation]",
)
@click.option("--text-licence", default=None, help="Their licence, as an SPDX expression.")
@click.option("--as", "person", default=PERSON, show_default=True, help="Whose account it walks with; tour is made.")
@click.option("--small", is_flag=True, help="The least of everything that goes through every step.")
def tour(data_dir: Path, as_json: bool, text: Path | None, text_licence: str | None, person: str, small: bool) -> None:  # noqa: FBT001 -- click passes flags so
    """From a model and texts on this machine to a graded, served model: every part of the site, on real input.

    Needs a running site and headwater[all]; `make tour` sees to both. What an earlier tour has done is not done again.
    """
    from headwater.running import read_server_file
    from headwater.tour import material
    from headwater.tour.errors import SiteNotRunning

    if read_server_file(data_dir) is None:
        raise SiteNotRunning(data_dir)
    _require_packages()
    model, texts = material.model_file(), material.texts_here(text, licence=text_licence)
    out = Output(as_json=as_json)
    site = click.get_current_context().obj(data_dir)
    try:
        with _quiet_client(), _acting(site, person) as token:
            _walk(site, out, token, person, model, texts, small=small)
    finally:
        site.close()


def _require_packages() -> None:
    """That what the tour and its runs import is here, before anything is done. Raises: TourNeeds."""
    from headwater.surroundings import missing_of
    from headwater.tour.errors import TourNeeds

    missing = [
        f"headwater[{name}] ({', '.join(modules)})"
        for name, modules in missing_of("corpora", "train", "evaluate", "serve", "tour")
    ]
    if missing:
        raise TourNeeds(" and ".join(missing), "`make tour` installs all of it; or: pip install 'headwater[all]'")


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """huggingface_hub, before it is imported: nothing of this person's own settings and caches, and no bars of its own."""
    with tempfile.TemporaryDirectory(prefix="headwater-tour-") as home:
        # Of its own, because what a cache tells of another site that was at this address would be wrong.
        os.environ |= {
            "HF_HOME": home,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_VERBOSITY": "error",
            "DO_NOT_TRACK": "1",
        }
        yield


@contextlib.contextmanager
def _acting(site: Site, person: str) -> Iterator[str]:
    """A token of this person for as long as the tour takes; the person ``tour`` is made where there is none."""
    from headwater import accounts

    now = utcnow()
    if person == PERSON:
        with contextlib.suppress(accounts.AccountNameTaken):
            site.db.write(accounts.create_person, SYSTEM, PERSON, password_hash=None, full_name="The tour", now=now)
    with accounts.passing_token(site.db, person, name="headwater tour") as secret:
        yield secret


def _walk(
    site: Site, out: Output, token: str, person: str, model: Path, texts: Sequence[Texts], *, small: bool
) -> None:
    from headwater.compute.engines import find_program
    from headwater.serving.engines import available, llama
    from headwater.serving.models import LLAMA_CPP
    from headwater.tour.recipes import SMALL, WHOLE
    from headwater.tour.visiting import Visit
    from headwater.tour.walking import Plan, Walk

    for each in texts:
        if each.is_own:
            click.echo(
                f"Texts are read from {each.folder.resolve()} and the folders below it, but for hidden ones and links: at most "
                f"{(SMALL if small else WHOLE).most_files} files. They, and what is made of them, go into private repositories "
                f"of {person}: who may sign in as {person} may read them, and administrators of the site.",
                err=out.as_json,
            )
    show = _Show(out)
    plan = Plan(
        size=SMALL if small else WHOLE,
        gguf=model,
        texts=texts,
        cpus=min(2, os.cpu_count() or 1),
        has_quantizer=find_program(LLAMA_CPP, llama.QUANTIZE) is not None,
        has_server=LLAMA_CPP in available(site.settings),
    )
    walk = Walk(Visit(site.base_url, token, person, tell=show.tell), plan, show.begin, show.end)
    started = time.monotonic()
    try:
        done = walk.go()
    finally:
        show.clear()
    seconds = time.monotonic() - started
    pages = walk.pages()
    facts = {
        "url": site.base_url,
        "seconds": round(seconds, 1),
        "steps": [vars(each) | {"seconds": round(each.seconds, 1)} for each in done],
        "scores": walk.scores,
        "answer": walk.answer,
        "pages": pages,
    }
    width = max(map(len, pages))
    lines = [f"\nThe whole tour took {seconds:.0f} s. To see:"]
    lines += [f"  {name.ljust(width)}  {href}" for name, href in pages.items()]
    lines.append(f"To sign in as {person}, make a link: headwater user reset-password {person}")
    out.result(facts, "\n".join(lines))


class _Show:
    """A line for each step; on a terminal also what it is doing, on the line that is next."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._is_live = sys.stderr.isatty() and not out.as_json
        self._head = ""

    def begin(self, number: int, total: int, title: str) -> None:
        self._head = f"{number:>2}/{total} {title}"
        self.tell("")

    def tell(self, text: str) -> None:
        if self._is_live:
            click.echo(f"\r\033[K{self._head} … {text}"[:110], nl=False, err=True)

    def end(self, done: Done) -> None:
        self.clear()
        when = "was there" if done.was_there else f"{done.seconds:.1f} s"
        if not self._out.as_json:
            click.echo(f"{self._head.ljust(32)} {when:>9}  {done.note}\n{' ' * 44}{done.href}")

    def clear(self) -> None:
        if self._is_live:
            click.echo("\r\033[K", nl=False, err=True)
