"""What commands of every context share: ``--data`` and ``--json``, the site they act on, and how they answer.

    @user.command("create")
    @click.argument("name")
    @site_command
    def create(site: Site, out: Output, name: str) -> None:
        account = site.db.write(service.create_person, SYSTEM, name, now=utcnow())
        out.result({"name": account.name}, f"{account.name} can now sign in.")

The command line (``headwater.cli``) puts the function that opens a site into click's context.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

T = TypeVar("T")

DEFAULT_DATA = Path("data")

data_option = click.option(
    "--data",
    "data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="HEADWATER_DATA",
    default=DEFAULT_DATA,
    show_default=True,
    help="The data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")


class Output:
    """One result per command: JSON for scripts on standard output, words for people; notes go to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, facts: Any, text: str | None = None) -> None:
        """``facts`` as JSON, or ``text`` for people."""
        if self.as_json:
            click.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2, default=str).decode())
        elif text is not None:
            click.echo(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, facts: Any = None) -> None:
        """Rows under headings; as JSON, ``facts`` or else one object a row."""
        rows = [list(row) for row in rows]
        if self.as_json:
            self.result([dict(zip(columns, row, strict=True)) for row in rows] if facts is None else facts)
            return
        texts = [list(columns), *([("" if cell is None else str(cell)) for cell in row] for row in rows)]
        widths = [max(len(line[n]) for line in texts) for n in range(len(columns))]
        for line in texts:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    def note(self, text: str) -> None:
        """Something beside the result, for people only."""
        if not self.as_json:
            click.echo(text, err=True)

    @contextmanager
    def progress(self, title: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
        """A bar on the terminal; gives the function that advances it. Silent for scripts."""
        if self.as_json:
            yield lambda _: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda step: bar.advance(task, step)


def site_command(act: Callable[..., T]) -> Callable[..., T]:
    """A command on a site: adds ``--data`` and ``--json``, calls ``act(site, out, ...)`` and closes the site after it."""

    @data_option
    @json_option
    @functools.wraps(act)
    def command(*args: Any, data_dir: Path, as_json: bool, **kwargs: Any) -> T:
        site = click.get_current_context().obj(data_dir)
        try:
            return act(site, Output(as_json=as_json), *args, **kwargs)
        finally:
            site.db.close()

    return command
