"""Sites of ten thousand to a million repositories: make one, measure it, and write what was found into ``docs/performance.md``.

python -m bench.scale generate --repositories 1000000 --data DIR [--database-url postgresql://…]
python -m bench.scale measure --repositories 1000000 --data DIR [--database-url …]
python -m bench.scale run [--sizes 10000,100000,1000000] [--databases sqlite,postgresql]  # everything, in a temporary folder: `make scale`
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import text

from bench import scale_measure, scale_ops, scale_postgres, scale_report
from bench.scale_data import World
from bench.scale_load import fill, postgres_target, sqlite_target
from headwater.assembly import build_site, prepare_data
from headwater.config import read_settings
from headwater.hub.search import upkeep
from headwater.kernel import utcnow
from headwater.server import app_for
from headwater.web.site import Site


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    acts = parser.add_subparsers(dest="act", required=True)
    for name in ("generate", "measure"):
        act = acts.add_parser(name)
        act.add_argument("--repositories", type=int, required=True)
        act.add_argument("--data", type=Path, required=True)
        act.add_argument("--database-url")
        act.add_argument("--processes", type=int, default=2)
        act.add_argument("--rounds", type=int, default=5)
        act.add_argument("--only", default="", help="groups whose name holds this; inside one process only")
    act = acts.add_parser("run")
    act.add_argument("--sizes", default="10000,100000,1000000")
    act.add_argument("--rounds", type=int, default=5, help="0: only make the sites")
    act.add_argument(
        "--keep", type=Path, help="make the sites in this folder, keep them, and measure those that are there already"
    )
    act.add_argument("--databases", default="sqlite,postgresql")
    act.add_argument("--only-kept", action="store_true", help="make no sites: pass over those that are not in --keep")
    asked = parser.parse_args()
    if asked.act == "generate":
        generate(asked.data, asked.repositories, asked.database_url, processes=asked.processes)
    elif asked.act == "run":
        sites = [(name, int(size)) for name in asked.databases.split(",") for size in asked.sizes.split(",")]
        if asked.only_kept:
            if asked.keep is None:
                parser.error("--only-kept needs --keep")
            sites = [(name, n) for name, n in sites if (asked.keep / f"{name}-{n}" / "generated").exists()]
        run(sites, asked.rounds, asked.keep)
    else:
        measure(asked.data, asked.repositories, asked.database_url, rounds=asked.rounds, only=asked.only)


def generate(data: Path, n: int, url: str | None, *, processes: int = 2) -> None:
    """A fresh site of ``n`` repositories in ``data``."""
    began = time.monotonic()
    settings = read_settings(data, {**os.environ, "HEADWATER_DATABASE_URL": url} if url else None)
    prepare_data(data, settings)
    path = data / "headwater.db"
    with postgres_target(url) if url else sqlite_target(path) as target:
        fill(target, n, processes=processes)
    size = "" if url else f", database {os.stat(path).st_size / 1e9:.2f} GB"
    print(f"{n:,} repositories in {time.monotonic() - began:.0f} s{size}", flush=True)


def measure(data: Path, n: int, url: str | None, *, rounds: int = 5, only: str = "") -> dict[str, Any]:
    """Every question in rounds, inside one process and then over HTTP."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )  # a line a request would be most of it
    env = {"HEADWATER_DATABASE_URL": url} if url else {}
    settings = read_settings(data, {**os.environ, **env})
    site = build_site(data, settings, base_url="http://127.0.0.1:1")
    site.db.write(
        upkeep.claim_day, "daily", utcnow().date()
    )  # ranks are right as they were made; no night's work beside the requests
    groups = [group for group in scale_ops.groups(World(n, 7), lambda sql: _ask(site, sql)) if only in group.name]
    print(f"{n:,} repositories, inside one process", flush=True)
    inside = scale_measure.in_process(app_for(site), groups, rounds, scale_postgres.pid_of(url) if url else None)
    site.close()
    if only:
        return {}
    with scale_measure.server(data, env) as (address, pid):
        print(f"{n:,} repositories, over HTTP", flush=True)
        outside = scale_measure.over_http(address, pid, groups, rounds)
    return {"n": n, "inside": scale_measure.summary(inside), "outside": scale_measure.summary(outside)}


def run(sites: list[tuple[str, int]], rounds: int, keep: Path | None) -> None:
    """Each site, database and size, after another; the report is written after each, and what is not kept is removed.

    Without rounds the sites are only made.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="headwater-scale-") as temporary:
        for name, n in sites:
            data = (keep or Path(temporary)) / f"{name}-{n}"
            if name == "sqlite":
                _measured(found, "SQLite", data, n, None, rounds)
            elif not scale_postgres.is_here():
                print("PostgreSQL is not installed: apt-get install postgresql", flush=True)
            else:
                cluster = keep and keep / f"{name}-{n}-cluster"
                if cluster and not (data / "generated").exists():
                    shutil.rmtree(cluster, ignore_errors=True)
                with scale_postgres.database(cluster) as url:
                    _measured(found, "PostgreSQL", data, n, url, rounds)
            if keep is None:
                shutil.rmtree(data, ignore_errors=True)


def _measured(
    found: dict[str, list[dict[str, Any]]], name: str, data: Path, n: int, url: str | None, rounds: int
) -> None:
    made = data / "generated"
    if not made.exists():
        shutil.rmtree(data, ignore_errors=True)
        generate(data, n, url)
        made.touch()
    if rounds:
        found.setdefault(name, []).append(measure(data, n, url, rounds=rounds))
        scale_report.write(found)


def _ask(site: Site, sql: str) -> list[tuple[Any, ...]]:
    with site.db.reading() as tx:
        return [tuple(row) for row in tx.execute(text(sql))]


if __name__ == "__main__":
    main()
