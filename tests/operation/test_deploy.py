"""The examples in deploy/ are read by those who are meant to read them, and name only what there is."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from tests.clients import run_client
from tests.operation.reading import Scrape
from tests.servers.nginx import free_port, nginx

DEPLOY = Path(__file__).parents[2] / "deploy"
TOKEN = "a-token-for-the-scraper"
PROMTOOL = shutil.which("promtool") or str(Path(sys.executable).with_name("promtool"))
_NAME = re.compile(r"\bheadwater_[a-z_]+")


def test_rules_and_dashboard_name_only_metrics_that_are_told(live_app):
    seen = Scrape(live_app.url)
    known = {sample.name for sample in seen.samples} | set(seen.families)
    for family in seen.families.values():  # those without a sample yet, under the names that samples will have
        kinds = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        known |= {family.name + ending for ending in kinds}
    rules = yaml.safe_load((DEPLOY / "prometheus" / "headwater.rules.yaml").read_text())["groups"][0]["rules"]
    dashboard = json.loads((DEPLOY / "grafana" / "headwater.json").read_text())
    asked = " ".join(rule["expr"] for rule in rules)
    asked += " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    named = set(_NAME.findall(asked))
    assert len(named) > 25
    assert named <= known, named - known
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_each_alert_is_explained_to_whoever_it_wakes():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "headwater.rules.yaml").read_text())["groups"][0]["rules"]
    for page in ("operate.md", "operate.zh-CN.md"):
        text = (DEPLOY.parent / "docs" / page).read_text()
        assert [rule["alert"] for rule in rules if f"`{rule['alert']}`" not in text] == []


def test_prometheus_itself_takes_rules_and_figures(live_app):
    rules = DEPLOY / "prometheus" / "headwater.rules.yaml"
    checked = subprocess.run([PROMTOOL, "check", "rules", str(rules)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    text = httpx.get(f"{live_app.url}/metrics").text
    linted = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    assert linted.returncode in (0, 3), linted.stderr  # 3: remarks on style alone


def test_systemd_takes_the_units(tmp_path):
    units = []
    for path in (DEPLOY / "systemd").iterdir():
        # The program itself is not in /opt here; all else is checked as it is.
        text = path.read_text().replace("/opt/headwater/bin/headwater", "/bin/true")
        (tmp_path / path.name).write_text(text)
        units.append(str(tmp_path / path.name))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "headwater" in line and "user" not in line.lower()]
    assert not ours, ours


def test_real_clients_work_through_nginx_as_configured(new_app, tmp_path):
    https, http = free_port(), free_port()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    url = f"https://localhost:{https}"
    port = free_port()
    app = new_app(
        env={"HEADWATER_URL": url, "HEADWATER_WEB_TRUSTED_PROXIES": "127.0.0.1", "HEADWATER_METRICS_TOKEN": TOKEN},
        port=port,
    )
    assert app.url == url
    text = (DEPLOY / "nginx" / "headwater.conf").read_text()
    for old, new in {
        "127.0.0.1:7860": f"127.0.0.1:{port}",
        "listen 443": f"listen 127.0.0.1:{https}",
        "listen 80;": f"listen 127.0.0.1:{http};",
        "hub.example.edu;": "localhost;",
        "/etc/ssl/hub.example.edu/fullchain.pem": str(certificate),
        "/etc/ssl/hub.example.edu/privkey.pem": str(key),
    }.items():
        assert old in text
        text = text.replace(old, new)
    with nginx(tmp_path / "nginx", text, port=https):
        trust = ssl.create_default_context(cafile=str(certificate))
        for path in ("/metrics", "/readyz"):
            headers = {"Authorization": f"Bearer {TOKEN}"}
            assert httpx.get(f"{url}{path}", verify=trust, headers=headers).status_code == 404
        assert Scrape(f"http://127.0.0.1:{port}", Authorization=f"Bearer {TOKEN}")("headwater_info") == 1
        code = (
            "import httpx, ssl\n"
            "from huggingface_hub import set_client_factory\n"
            "set_client_factory(lambda: httpx.Client(verify=ssl.create_default_context(cafile=args[0]), timeout=60))\n"
            "os.environ['HF_HUB_DISABLE_XET'] = '1'\n"
            "api.create_repo('ada/proxied')\n"
            "data = os.urandom(3 << 20)\n"
            "api.upload_file(path_or_fileobj=data, path_in_repo='folder/数据 1.bin', repo_id='ada/proxied')\n"
            "api.create_branch('ada/proxied', branch='feat/x')\n"
            "path = api.hf_hub_download('ada/proxied', 'folder/数据 1.bin', revision='feat/x')\n"
            "assert open(path, 'rb').read() == data\n"
        )
        env = {"HF_HUB_DISABLE_XET": "1", "SSL_CERT_FILE": str(certificate)}
        run_client(app, "ada", code, str(certificate), home=tmp_path / "home", **env)
