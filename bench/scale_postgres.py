"""A PostgreSQL of its own for large sites: started here, gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.postgres import Cluster, _binary

# As an operator of a large site would set it on a machine like this; the rest is the distribution's.
SETTINGS = {
    "shared_buffers": "'1GB'",
    "effective_cache_size": "'6GB'",
    "max_wal_size": "'4GB'",
    "random_page_cost": "1.1",
}


def is_here() -> bool:
    """Whether PostgreSQL is installed."""
    try:
        return bool(_binary("postgres"))
    except AssertionError:
        return False


def pid_of(url: str) -> int:
    """The parent of all the server's processes, which run on this machine."""
    import psycopg

    with psycopg.connect(url) as connection:
        folder = connection.execute("show data_directory").fetchall()[0][0]
    return int((Path(folder) / "postmaster.pid").read_text().split()[0])


@contextmanager
def database(folder: Path | None = None) -> Iterator[str]:
    """A database's address: of the one kept in ``folder``, which is made where it is missing, or of an empty one that is gone afterwards."""
    place = folder or Path(tempfile.mkdtemp(prefix="headwater-scale-pg-"))
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    cluster = Cluster(place)
    try:
        cluster.stop()
        with (cluster.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())
        cluster.start()
        if not cluster.sql("select 1 from pg_database where datname = 'scale'"):
            cluster.sql("create database scale")
        yield cluster.url_of("scale")
    finally:
        cluster.stop()
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
