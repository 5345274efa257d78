"""Alive and ready are two things."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import tempfile
from pathlib import Path

import httpx

from tests.conftest import LiveApp, wait_for
from tests.growth import only_on_one_machine
from tests.servers.postgres import Cluster


def test_alive_and_ready(live_app):
    assert httpx.get(f"{live_app.url}/healthz").json() == {"status": "alive"}
    answer = httpx.get(f"{live_app.url}/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert {name for name, check in answer.json()["checks"].items() if check["ok"]} == {
        "database",
        "schema",
        "clock",
        "store",
        "not_draining",
    }
    assert answer.headers["cache-control"] == "no-store"


def test_an_older_schema_is_not_ready(new_app):
    app = new_app(people=False, workers=1)
    db = sqlite3.connect(app.data / "headwater.db")
    (version,) = db.execute("select version_num from alembic_version").fetchone()
    with db:
        db.execute("update alembic_version set version_num = '0000'")
    answer = wait_for(lambda: (a := httpx.get(f"{app.url}/readyz")).status_code == 503 and a)
    assert answer.json()["checks"]["schema"]["problem"] == "older_than_this_release"
    assert httpx.get(f"{app.url}/healthz").status_code == 200
    with db:
        db.execute("update alembic_version set version_num = ?", (version,))
    assert wait_for(lambda: httpx.get(f"{app.url}/readyz").status_code == 200)
    db.close()


def test_a_store_that_is_gone_is_not_ready(new_app):
    app = new_app(people=False, workers=1)
    tmp = app.data / "blobs" / "tmp"
    tmp.rename(tmp.with_name("tmp.away"))
    answer = wait_for(lambda: (a := httpx.get(f"{app.url}/readyz")).status_code == 503 and a)
    assert answer.json()["checks"]["store"]["ok"] is False
    assert answer.json()["status"] == "not_ready"
    tmp.with_name("tmp.away").rename(tmp)
    assert wait_for(lambda: httpx.get(f"{app.url}/readyz").status_code == 200)


@only_on_one_machine
def test_while_the_database_is_away_it_is_alive_and_says_what_is_wrong(tmp_path):
    """Whoever asks, with a token or a cookie or nothing: a process that was ended for it could not start again."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-pg-"))  # the server's account must reach it
    folder.chmod(0o755)
    cluster = Cluster(folder)
    app = None
    try:
        cluster.sql("create database site")
        data = tmp_path / "data"
        data.mkdir()
        (data / "headwater.toml").write_text(f'[database]\nurl = "{cluster.url_of("site")}"\n')
        app = LiveApp(data, options={"workers": 1})
        with httpx.Client(base_url=app.url, headers={"authorization": "Bearer hw_nobody"}) as client:
            assert client.get("/readyz").status_code == 200
            cluster.stop(signal.SIGQUIT)
            answer = wait_for(lambda: (a := client.get("/readyz", timeout=20)).status_code == 503 and a)
            assert answer.json()["checks"]["database"]["ok"] is False
            assert client.get("/healthz").json() == {"status": "alive"}
            cluster.start()
            assert wait_for(lambda: client.get("/readyz").status_code == 200, timeout_s=20, what="its recovery")
    finally:
        if app is not None:
            app.stop()
        cluster.stop()
        shutil.rmtree(folder)


def test_while_it_drains_it_serves_and_says_so(new_app):
    app = new_app(env={"HEADWATER_DRAIN_DELAY_S": "30"}, workers=2)
    app.process.send_signal(signal.SIGTERM)
    answer = wait_for(lambda: (a := httpx.get(f"{app.url}/readyz")).status_code == 503 and a)
    assert answer.json()["status"] == "draining"
    assert app.hf("ada").whoami()["name"] == "ada"  # on new connections, too
    app.process.send_signal(signal.SIGTERM)  # a second one hurries
    assert app.process.wait(15) == 0
