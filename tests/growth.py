"""What sites of the tests are kept in: a folder, or with ``HEADWATER_TEST_ON=growth`` what a site of several hosts has.

Fixtures ask here and nowhere else. ``settings_of(folder)`` and ``write_settings(folder)`` give a site in ``folder`` its own
database (and whatever else has a second implementation: add it to ``_sections``), the same one each time for the same
folder. ``new_database(folder)`` is a database with its schema, without a site. A test that is about SQLite or the folder
itself carries ``@only_on_one_machine``, one about PostgreSQL starts ``tests.servers.postgres.cluster()`` in either mode.

``make test-growth`` runs the folders of tests that this is for; ``make test`` does so after everything else.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater import assembly
from headwater.blobs import BlobStore
from headwater.blobs.settings import BlobSettings, S3Settings
from headwater.db import Database, DatabaseSettings, open_database
from headwater.kernel import Settings

# Kept for the processes of pytest-xdist under a name that is not taken for a setting of the site.
if "HEADWATER_TEST_ON" in os.environ:
    os.environ["TEST_ON"] = os.environ.pop("HEADWATER_TEST_ON")
ON_GROWTH = os.environ.get("TEST_ON") == "growth"
only_on_one_machine = pytest.mark.skipif(ON_GROWTH, reason="about SQLite or the folder itself")

_TEMPLATE = "headwater_template"
_number = itertools.count(1)


def settings_of(folder: Path, *own: Any) -> Settings:
    """The settings of a site in ``folder``: ``own`` sections, and where it keeps its data."""
    return Settings([*own, *_sections(folder.absolute())])


def write_settings(folder: Path) -> None:
    """The same as ``headwater.toml`` in the folder, for processes and commands; nothing where it is a plain folder."""
    lines = []
    for section in _sections(folder.absolute()):
        if section.section:
            lines.append(f"[{section.section}]")
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            if value != field.default:
                lines.append(f"{field.name} = {value!r}".replace('"', '\\"').replace("'", '"'))
    if lines:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "headwater.toml").open("a") as toml:
            toml.write("\n".join(lines) + "\n")


def database_url_of(folder: Path) -> str | None:
    """Of the site in ``folder``; None on SQLite."""
    return _database_of(folder.absolute()) if ON_GROWTH else None


def empty_database_url_of(folder: Path) -> str | None:
    """Of a database without any table; None on SQLite."""
    if not ON_GROWTH:
        return None
    from tests.servers.postgres import cluster

    name = f"empty_{next(_number)}"
    cluster().sql(f"create database {name}")
    return cluster().url_of(name)


def new_database(folder: Path) -> Database:
    """A database with its schema; the same one each time for the same folder. Close it."""
    made = open_database(folder, database_url_of(folder))
    made.ensure_schema()
    return made


def blobs_of(folder: Path) -> BlobStore:
    """Where a site in ``folder`` has its objects."""
    made = assembly.blobs_of(folder, settings_of(folder))
    made.ensure()
    return made


def _sections(folder: Path) -> Iterator[Any]:
    if ON_GROWTH:
        from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed

        yield BlobSettings(blobs=_store_of(folder))  # first: its settings stand above all tables of the file
        yield S3Settings(endpoint=seaweed().url, key_id=KEY_ID, secret_key=SECRET_KEY)
        yield DatabaseSettings(url=_database_of(folder))


@functools.cache
def _store_of(folder: Path) -> str:
    """A prefix of its own in the one bucket of this test process."""
    return f"s3://{_bucket()}/site-{next(_number)}"


@functools.cache
def _bucket() -> str:
    from tests.servers.seaweed import seaweed

    return seaweed().new_bucket()


@functools.cache
def _database_of(folder: Path) -> str:
    """Copied from one that has its schema: making that takes longer than most tests."""
    from tests.servers.postgres import cluster

    name = f"site_{next(_number)}"
    cluster().sql(f"create database {name} template {_template()} strategy file_copy")
    return cluster().url_of(name)


@functools.cache
def _template() -> str:
    from tests.servers.postgres import cluster

    cluster().sql(f"create database {_TEMPLATE}")
    made = open_database(Path(), cluster().url_of(_TEMPLATE))
    made.ensure_schema()
    made.close()
    return _TEMPLATE
