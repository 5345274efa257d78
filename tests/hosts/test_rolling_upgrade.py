"""Hosts of one site are upgraded one by one: old and new code on one database, until a release takes away what the old one needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

import headwater
from headwater.db import open_database
from headwater.db.schema import MIGRATIONS, versions
from tests.conftest import clean_env, wait_for
from tests.hosts.several import Host, new_database, write_toml
from tests.servers.nginx import free_port
from tests.servers.seaweed import seaweed

HERE = versions(MIGRATIONS)[-1]
EXPAND, CONTRACT = f"{int(HERE) + 1:04d}", f"{int(HERE) + 2:04d}"
_MIGRATION = '''"""For a test."""

import sqlalchemy as sa
from alembic import op

revision = "{version}"
down_revision = "{before}"
breaks_before = "{breaks_before}"


def upgrade() -> None:
    {act}
'''
_ACTS = {
    EXPAND: 'op.add_column("repository", sa.Column("colour", sa.Text(), server_default="grey", nullable=False))',
    CONTRACT: 'op.drop_table("follow")',
}


def release(folder: Path, *migrations: str) -> dict[str, str]:
    """A copy of the code with later migrations; the environment that runs it."""
    package = folder / "headwater"
    shutil.copytree(Path(headwater.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = HERE
    for version in migrations:
        # What adds breaks nobody; what removes breaks whoever has not come as far as the one that added.
        breaks_before = EXPAND if version == CONTRACT else HERE
        content = _MIGRATION.format(version=version, before=before, breaks_before=breaks_before, act=_ACTS[version])
        (package / "db/migrations/versions" / f"{version}_later.py").write_text(content)
        before = version
    env = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run(
        [sys.executable, "-c", "import headwater; print(headwater.__file__)"],
        env=clean_env(env), cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.startswith(str(folder))
    return env


@pytest.fixture
def site(tmp_path: Path):
    """Makes hosts of one site: ``site("name", env)``."""
    given = new_database("rolling"), f"s3://{seaweed().new_bucket()}/site"
    made: list[Host] = []

    def make(name: str, env: dict[str, str] | None = None) -> Host:
        write_toml(tmp_path / name, *given, queue_workers=1)
        made.append(Host(tmp_path / name, free_port(), env=env))
        return made[-1]

    make.database, make.blobs = given
    yield make
    for host in made:
        host.stop()
    for host in made:
        host.check_clean()


def schema_of(database: str) -> str:
    db = open_database(Path(), database)
    try:
        return db.read(lambda tx: tx.execute(text("select version_num from alembic_version")).scalar())
    finally:
        db.close()


def use(host: Host, number: int) -> None:
    """Real clients write and read."""
    api = host.hf("ada")
    api.create_repo(f"ada/m{number}")
    api.upload_file(path_or_fileobj=b"x" * number, path_in_repo="w.txt", repo_id=f"ada/m{number}")
    api.create_discussion(f"ada/m{number}", "Well?")


def test_old_and_new_code_on_one_database(site, tmp_path: Path):
    old = site("old")
    old.add_people()
    use(old, 1)
    new = site("new", release(tmp_path / "release2", EXPAND))
    assert schema_of(site.database) == EXPAND
    for number, host in enumerate((old, new, old, new), 2):  # each sees what the other wrote
        use(host, number)
        for reader in (old, new):
            assert httpx.get(f"{reader.url}/ada/m{number}/resolve/main/w.txt").content == b"x" * number
            assert httpx.get(f"{reader.url}/readyz").status_code == 200
    # An old host may even be started again.
    again = site("old-again")
    use(again, 9)

    # The next release removes something: the code that still relies on it is told so, and goes.
    last = site("last", release(tmp_path / "release3", EXPAND, CONTRACT))
    assert schema_of(site.database) == CONTRACT
    last._tokens = old._tokens  # what the tests run is old code, too, and makes no more of them
    use(last, 10)
    assert httpx.get(f"{new.url}/readyz").status_code == 200
    answer = wait_for(lambda: (a := httpx.get(f"{old.url}/readyz")).status_code == 503 and a)
    assert answer.json()["checks"]["schema"]["problem"] == "too_new_for_this_release"
    write_toml(tmp_path / "too-old", site.database, site.blobs)
    command = [sys.executable, "-m", "headwater", "up", f"--data={tmp_path / 'too-old'}", f"--port={free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_env(), check=False)
    assert done.returncode != 0
    assert f"The database is at version '{CONTRACT}', which this release cannot work on." in done.stderr
