"""Every table of runs, evaluations, grades and endpoints goes along: into a backup and out of it, to PostgreSQL, from there, and back."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Float, Integer, Table, select

from headwater.cli.open import open_site
from headwater.compute.service import lifecycle
from headwater.compute.service.submitting import submit
from headwater.db import JsonText, Tx, UtcDateTime, insert, metadata
from headwater.governance import service as governance
from headwater.hub.checking import check
from headwater.hub.moving.site import declared_tables
from headwater.kernel import SYSTEM, utcnow
from headwater.serving import usage
from headwater.web import Site
from tests.checking.varied import MODEL, OPEN, make_varied
from tests.compute import kinds
from tests.compute.client import act
from tests.growth import only_on_one_machine
from tests.moving.test_migrate import migrate, new_database
from tests.operation.test_backup import command

pytestmark = [only_on_one_machine, pytest.mark.timeout(600)]  # it starts PostgreSQL itself

PACKAGES = ("compute", "evaluation", "governance", "serving")
# What no value of a column's type would do for.
GIVEN: dict[str, Any] = {
    "run.state": "succeeded",
    "run_attempt.state": "succeeded",
    "run_host.cpus": 64.5,
    "run_attempt.token_id": None,
    "evaluation.endpoint": None,  # it is of a model
    "endpoint.engine": "transformers",
    "endpoint.task": "embed",
    "endpoint.access": "everyone",
    "endpoint.wanted": "stopped",
    "serving_limit.subject": "owner",
}


def tables_of_the_spine() -> list[Table]:
    for package in PACKAGES:
        importlib.import_module(f"headwater.{package}.tables")
    names = {
        name
        for package in PACKAGES
        for name, each in vars(importlib.import_module(f"headwater.{package}.tables")).items()
        if isinstance(each, Table) and not name.startswith("_")
    }
    return [table for table in metadata.sorted_tables if table.name in names]


def _value(tx: Tx, table: Table, column: Column[Any]) -> Any:
    name = f"{table.name}.{column.name}"
    if name in GIVEN:
        return GIVEN[name]
    for key in column.foreign_keys:
        found = tx.execute(select(key.column).order_by(key.column).limit(1)).scalar()
        assert found is not None, f"nothing for {name} to refer to"
        return found
    kind = column.type
    if isinstance(kind, JsonText):
        return {"水": [1, None, "源"], "deep": {"x": 0.5}}
    if isinstance(kind, UtcDateTime):
        return utcnow()
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Float):
        return 0.1 + 0.2
    if isinstance(kind, Integer):
        return 2**31 - 1 if kind.__class__.__name__ == "Integer" else 2**40 + 1
    return ("水源 \t'\"\\\n" * 9)[: getattr(kind, "length", None) or 60]


def fill(tx: Tx) -> None:
    for table in tables_of_the_spine():
        if tx.execute(select(table).limit(1)).first() is None:
            tx.execute(insert(table).values(**{each.name: _value(tx, table, each) for each in table.columns}))


def rows_of(site: Site) -> dict[str, list[tuple[Any, ...]]]:
    with site.db.reading() as tx:
        return {
            table.name: sorted((tuple(row) for row in tx.execute(select(table))), key=repr)
            for table in tables_of_the_spine()
        }


@contextlib.contextmanager
def opened(data: Path) -> Iterator[Site]:
    site = open_site(data)
    try:
        yield site
    finally:
        site.close()


def on_postgresql(folder: Path, url: str) -> Path:
    folder.mkdir()
    (folder / "headwater.toml").write_text(f'[database]\nurl = "{url}"\n')
    return folder


def test_every_declared_table_is_one_that_moves() -> None:
    ours = tables_of_the_spine()
    assert len(ours) >= 20
    assert {table.name for table in ours} <= {table.name for table in declared_tables()}


def test_rows_of_every_table_go_wherever_the_site_goes(tmp_path: Path) -> None:
    kinds.register()
    made = make_varied(tmp_path / "data")
    made.site.close()
    with opened(tmp_path / "data") as site:
        ada = made.people["ada"]
        text = (
            act("moved", "sleep") + f"inputs: {{text: {{repo: models/{OPEN}}}}}\noutputs: {{out: {{repo: ada/new}}}}\n"
        )
        run = submit(site, ada, text=text)
        site.db.write(lifecycle.cancel, ada, run.id)
        reason = "The paper names the licence of the data."
        site.db.write(governance.override, SYSTEM, MODEL, OPEN, "data_card", "open", reason, now=utcnow())
        site.db.write(usage.set_limits, SYSTEM, "owner", "ada", {"requests_minute": 5}, now=utcnow())
        site.db.write(lifecycle.set_quota, SYSTEM, "eve", lifecycle.Quota(runs=2))
        site.db.write(fill)
        before = rows_of(site)
        assert [name for name, rows in before.items() if not rows] == []
        assert check(site).problems == []

    def restored(source: Path, target: Path, backups: Path) -> None:
        for arguments in (
            ("backup", f"--to={backups}", f"--data={source}"),
            ("restore", f"--from={backups}", f"--data={target}"),
        ):
            done = command(*arguments)
            assert done.returncode == 0, done.stderr
        with opened(target) as site:
            assert rows_of(site) == before
            assert check(site).problems == []

    restored(tmp_path / "data", tmp_path / "again", tmp_path / "backups")
    url, other = (new_database(f"spine_{n}_{os.urandom(4).hex()}") for n in (1, 2))
    migrate(f"--from={tmp_path / 'again'}", f"--to-database={url}")
    there = tmp_path / "again"
    (there / "headwater.toml").write_text(f'[database]\nurl = "{url}"\n')
    with opened(there) as site:
        assert site.db.dialect == "postgresql"
        assert rows_of(site) == before
        assert check(site).problems == []
        again = submit(site, made.people["ada"], text=text)
        assert again.id > run.id, "numbers are not given twice"
        site.db.write(lifecycle.cancel, made.people["ada"], again.id)
        before = rows_of(site)
    restored(there, on_postgresql(tmp_path / "there", other), tmp_path / "backups_there")
    migrate(f"--from={there}", f"--from-database={url}", f"--to={tmp_path / 'home'}")
    with opened(tmp_path / "home") as site:
        assert site.db.dialect == "sqlite"
        assert rows_of(site) == before
        assert check(site).problems == []
