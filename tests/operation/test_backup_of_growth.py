"""A backup of a site in PostgreSQL and a bucket, by pg_dump, and the site that pg_restore makes of it elsewhere."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from huggingface_hub import snapshot_download

from headwater.assembly import blobs_of
from headwater.blobs.settings import BlobSettings
from headwater.cli.open import open_site
from headwater.config import read_settings
from headwater.db import DatabaseAway, DatabaseSettings
from headwater.hub.backup import make_backup
from tests.clients import run_client
from tests.community.test_attachments import picture, post
from tests.conftest import LiveApp
from tests.growth import only_on_one_machine
from tests.moving.test_migrate import up_refused
from tests.operation.test_backup import UPLOAD, command, digests
from tests.servers.postgres import PASSWORD, cluster
from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed

pytestmark = only_on_one_machine  # these take what they need in either mode


def new_place(folder: Path, name: str, *, bucket: str | None = None) -> Path:
    """A data folder whose site is kept in a new database, reached by password, and in a bucket, a new one if none is given."""
    cluster().sql(f"create database {name}")
    folder.mkdir()
    (folder / "headwater.toml").write_text(
        f"""blobs = "s3://{bucket or seaweed().new_bucket()}/hub"
[database]
url = "{cluster().tcp_url_of(name)}"
[s3]
endpoint = "{seaweed().url}"
key_id = "{KEY_ID}"
secret_key = "{SECRET_KEY}"
"""
    )
    return folder


def keys_at(folder: Path) -> set[str]:
    return {found.key for found in blobs_of(folder, read_settings(folder, environ={})).iter_keys("")}


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> dict[str, Any]:
    """A filled site, backed up while its server runs."""
    tmp = tmp_path_factory.mktemp("backup")
    data = new_place(tmp / "data", "backed_up")
    app = LiveApp(data, options={"workers": 1})
    try:
        app.add_people()
        rng, tree = random.Random(12), tmp / "tree"
        tree.mkdir()
        (tree / "weights.bin").write_bytes(rng.randbytes(2 << 20))
        (tree / "notes.txt").write_bytes(rng.randbytes(150_000).hex().encode())
        hf = app.hf("ada")
        hf.create_repo("ada/kept", private=True)
        run_client(app, "ada", UPLOAD, "ada/kept", str(tree), home=tmp / "home")
        shown = post(app, "ada", picture()).text
        hf.create_discussion("ada/kept", "With a picture", description=f"![x]({shown})")
        made = command("backup", f"--to={tmp / 'backups'}", f"--data={data}", "--json")
        assert made.returncode == 0, made.stderr
        assert PASSWORD not in made.stdout + made.stderr
        token = app.token("ada")
    finally:
        app.stop()
    app.check_clean()
    facts = orjson.loads(made.stdout)
    assert facts["database"] == "postgresql"
    assert facts["n_objects"] >= 5  # the picture, a xorb and its index, a pack and its index
    return {"data": data, "backups": tmp / "backups", "tree": tree, "token": token, "shown": httpx.URL(shown).path}


def restore(kept: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    return command("restore", f"--from={kept['backups']}", f"--data={folder}", "--json")


def test_the_restored_site_has_everything(kept, tmp_path):
    said = restore(kept, new_place(tmp_path / "new", "restored"))
    assert said.returncode == 0, said.stderr
    app = LiveApp(tmp_path / "new")
    try:
        got = snapshot_download(
            "ada/kept",
            endpoint=app.url,
            token=kept["token"],
            local_dir=tmp_path / "got",
            cache_dir=tmp_path / "cache",
        )
        assert {k: v for k, v in digests(Path(got)).items() if k != ".gitattributes"} == digests(kept["tree"])
        headers = {"Authorization": f"Bearer {kept['token']}"}
        assert httpx.get(f"{app.url}{kept['shown']}", headers=headers).content == picture()
        assert httpx.get(f"{app.url}{kept['shown']}").status_code == 404
        hf = app.hf("ada")
        assert [talk.title for talk in hf.get_repo_discussions("ada/kept")] == ["With a picture"]
        assert hf.create_discussion("ada/kept", "After it", description="x").num == 2  # numbers go on
        hf.upload_file(path_or_fileobj=b"new", path_in_repo="new.txt", repo_id="ada/kept")
        assert app.cli("quota", "check")["differences"] == []
    finally:
        app.stop()
    app.check_clean()


def test_a_place_that_holds_a_site_is_left_alone(kept, tmp_path):
    taken = new_place(tmp_path / "taken", "taken")
    app = LiveApp(taken, options={"workers": 1})
    try:
        app.add_people()
        before = keys_at(taken)
        said = restore(kept, taken_by_another(tmp_path / "again", taken))
        assert (said.returncode, orjson.loads(said.stderr)["code"]) == (1, "site_not_empty")
        bucket = read_settings(taken, environ={}).of(BlobSettings).blobs.split("/")[2]
        said = restore(kept, new_place(tmp_path / "newer", "untaken", bucket=bucket))
        assert (said.returncode, orjson.loads(said.stderr)["code"]) == (1, "object_store_of_another_site")
        assert keys_at(taken) == before
        assert app.hf("ada").whoami()["name"] == "ada"
    finally:
        app.stop()
    app.check_clean()


def taken_by_another(folder: Path, taken: Path) -> Path:
    """Another host's data folder, for the same database."""
    folder.mkdir()
    shutil.copy(taken / "headwater.toml", folder)
    return folder


def test_objects_that_a_site_uses_are_not_given_to_a_second_one_of_the_same_name(kept, tmp_path):
    bucket = read_settings(kept["data"], environ={}).of(BlobSettings).blobs.split("/")[2]
    new = new_place(tmp_path / "new", "of_one_bucket", bucket=bucket)
    said = restore(kept, new)
    assert (said.returncode, orjson.loads(said.stderr)["code"]) == (1, "store_not_empty")
    assert "--take-over-objects" in said.stderr
    # A role that holds a right there, and is not where it is restored, is no hindrance.
    cluster().sql("create role reads_figures")
    cluster().sql("grant select on repository to reads_figures", "backed_up")
    made = command("backup", f"--to={tmp_path / 'backups'}", f"--data={kept['data']}")
    assert made.returncode == 0, made.stderr
    cluster().sql("revoke all on repository from reads_figures", "backed_up")
    cluster().sql("drop role reads_figures")
    # Killed before it was whole: its mark is there. Whoever starts a server now makes its tables.
    cluster().sql(
        "create table site_move (one integer primary key, state text not null, target text not null, to_blobs text, "
        "to_database text, frozen_until double precision, site text not null)",
        "of_one_bucket",
    )
    cluster().sql("insert into site_move values (1, 'restoring', 'x', null, null, null, 'x')", "of_one_bucket")
    assert up_refused(new, {}) == "site_half_restored"
    said = restore({**kept, "backups": tmp_path / "backups"}, new)
    assert said.returncode == 0, said.stderr
    assert cluster().sql("select to_regclass('site_move')", "of_one_bucket") == [(None,)]


def test_a_backup_whose_hold_on_the_collector_broke_is_none(kept, tmp_path):
    """As when PostgreSQL was restarted meanwhile: the collector may have removed what the snapshot names."""
    site = open_site(kept["data"])

    def cut(_: int) -> Any:
        cluster().sql(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and pid <> pg_backend_pid()"
        )
        return lambda _: None

    try:
        url = site.settings.of(DatabaseSettings).url
        with pytest.raises(DatabaseAway):
            make_backup(site, tmp_path / "backups", database_url=url, keep=1, progress=cut)
    finally:
        site.close()
    assert not list((tmp_path / "backups").glob("snapshots/*"))


def test_a_backup_of_the_other_kind_of_database_is_refused(kept, tmp_path):
    said = restore(kept, tmp_path / "new")
    assert said.returncode == 1
    assert "it was made of postgresql" in said.stderr
    assert not list((tmp_path / "new").rglob("sha256/*"))


def test_without_its_tools_it_says_what_to_install(kept, tmp_path):
    said = command(
        "backup", f"--to={tmp_path / 'backups'}", f"--data={kept['data']}", "--json", env={"PATH": str(tmp_path)}
    )
    assert said.returncode == 1
    assert orjson.loads(said.stderr)["code"] == "database_tool_missing"
    assert not list((tmp_path / "backups").glob("snapshots/*"))
