"""What is counted, by whom it may be read, and that Prometheus understands it."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import httpx
import pytest

from tests import growth
from tests.conftest import LiveApp, wait_for
from tests.operation.reading import Scrape
from tests.servers.nginx import free_port, nginx

TOKEN = "a-token-for-the-scraper"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    made = LiveApp(tmp_path_factory.mktemp("metrics") / "data", options={"workers": 2})
    made.add_people()
    yield made
    made.stop()
    made.check_clean()


def get_on_new_connections(url: str, n: int) -> None:
    for _ in range(n):
        httpx.get(url)


def test_whichever_worker_answers_the_totals_are_of_all(app):
    where = {"method": "GET", "route": "/healthz", "status": "2xx"}
    before = Scrape(app.url)("headwater_request_seconds_count", **where)
    get_on_new_connections(f"{app.url}/healthz", 20)
    for _ in range(6):  # over new connections, so that both workers answer some
        assert wait_for(lambda: Scrape(app.url)("headwater_request_seconds_count", **where) == before + 20)
    seen = Scrape(app.url)
    buckets = [
        sample.value
        for sample in seen.samples
        if sample.name == "headwater_request_seconds_bucket" and sample.labels["route"] == "/healthz"
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == before + 20
    assert {sample.labels["process"] for sample in seen.families["headwater_process_resident_bytes"].samples} == {
        "parent",
        "web-1",
        "web-2",
        "queue",
    }
    assert seen("headwater_dropped_observations_total") == 0
    assert seen("headwater_db_up") == 1
    assert seen("headwater_info") == 1


def test_addresses_of_strangers_never_become_labels(app):
    for number in range(5):
        httpx.get(f"{app.url}/nobody/has-{number}")
        httpx.get(f"{app.url}/x/y/z/nothing-{number}?token=hw_secret")
        httpx.request("BREW", f"{app.url}/x/y/z/nothing-{number}")
    seen = Scrape(app.url)
    text = repr(seen.samples)
    assert "nothing-" not in text
    assert "has-1" not in text
    assert "hw_secret" not in text
    assert "BREW" not in text
    assert seen("headwater_request_seconds_count", route="(none)", status="4xx") >= 5


def test_bytes_jobs_and_entries_of_a_real_upload_are_counted(app, tmp_path):
    data = random.Random(7).randbytes(3 << 20)
    before = Scrape(app.url)
    hf = app.hf("ada")
    hf.create_repo("ada/counted")
    (tmp_path / "weights.bin").write_bytes(data)
    hf.upload_folder(repo_id="ada/counted", folder_path=tmp_path, commit_message="weights")
    got = httpx.get(f"{app.url}/ada/counted/resolve/main/weights.bin", follow_redirects=True).content
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    wait_for(lambda: Scrape(app.url)("headwater_job_seconds_count", outcome="done") > 0)
    if growth.ON_GROWTH:  # the first plain reader is served by the hub, later ones by the store
        wait_for(lambda: httpx.get(f"{app.url}/ada/counted/resolve/main/weights.bin").is_redirect)
    after = Scrape(app.url)

    def grew(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert grew("headwater_received_bytes_total") >= len(data)
    if growth.ON_GROWTH:
        assert grew("headwater_sent_bytes_total") >= len(data)
        assert grew("headwater_redirected_bytes_total") >= len(data)
        assert grew("headwater_redirects_to_store_total") >= 1
    else:
        assert grew("headwater_sent_bytes_total", by="sendfile") >= len(data)
    assert grew("headwater_ledger_entries_total") >= 2
    assert grew("headwater_db_write_batch_acts_count") >= 2
    assert grew("headwater_db_transaction_seconds_count", kind="read") > 0
    assert grew("headwater_git_opened_total") > 0
    assert after("headwater_job_seconds_count", kind="hub.index_repository", outcome="done") >= 1
    assert after("headwater_requests_in_flight") >= 1  # the scrape itself


def test_a_token_is_asked_for_and_whoever_has_none_finds_nothing(new_app):
    app = new_app(env={"HEADWATER_METRICS_TOKEN": TOKEN}, people=False, workers=1)
    nothing = httpx.get(f"{app.url}/no-such-thing/at/all")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
        refused = httpx.get(f"{app.url}/metrics", headers=headers)
        assert (refused.status_code, refused.text) == (404, nothing.text)
    assert Scrape(app.url, Authorization=f"Bearer {TOKEN}")("headwater_info") == 1


@pytest.mark.parametrize(
    "env", [{"HEADWATER_URL": "https://hub.example.edu"}, {"HEADWATER_WEB_TRUSTED_PROXIES": "127.0.0.1"}]
)
def test_without_a_token_nobody_behind_a_proxy_is_taken_for_this_machine(new_app, env):
    app = new_app(env=env, people=False, workers=1)
    wait_for(lambda: app.log_lines("server.started"))  # written a moment after the file that the fixture waits for
    url = own_address(app)
    assert httpx.get(f"{url}/metrics").status_code == 404


def test_what_proxies_add_closes_it(app):
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert httpx.get(f"{app.url}/metrics", headers={name: "203.0.113.9"}).status_code == 404
    for word in ("close", "Close", "te, close"):
        assert httpx.get(f"{app.url}/metrics", headers={"Connection": word}).status_code == 404


@pytest.mark.parametrize(
    "host", ["hub.example.edu", "hub.example.edu:80", "203.0.113.9", "localhost.example.edu", "[::1", ""]
)
def test_another_name_than_this_machines_own_closes_it(app, host):
    assert httpx.get(f"{app.url}/metrics", headers={"Host": host}).status_code == 404


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1", "127.8.8.8:1", "[::1]:7860"])
def test_whoever_asks_for_this_machine_by_any_of_its_own_names_sees_it(app, host):
    assert httpx.get(f"{app.url}/metrics", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "told", ["", "proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_set_header Host $host;"]
)
def test_a_proxy_that_adds_nothing_is_not_this_machine(app, tmp_path, told):
    port = free_port()
    server = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {app.url}; {told} }} }}"
    with nginx(tmp_path / "nginx", server, port=port):
        through = {"headers": {"Host": "hub.example.edu"}}
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", **through).status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/metrics", **through).status_code == 404


def own_address(app: LiveApp) -> str:
    """Where the parent listens, whatever its links say."""
    inodes = {str(fd.readlink()) for fd in Path(f"/proc/{app.process.pid}/fd").iterdir()}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            return f"http://127.0.0.1:{int(fields[1].rpartition(':')[2], 16)}"
    raise AssertionError("it listens nowhere")
