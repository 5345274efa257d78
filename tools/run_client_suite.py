"""Run huggingface_hub's own tests against a Headwater: ``python tools/run_client_suite.py [pytest arguments]``.

The tests come from the client's source package, which pip fetches into a temporary folder; nothing of it is kept. The source
package leaves out the suite's conftest.py and its accounts belong to the makers' test server, so this program writes
both anew: the same fixtures by name, and people of a fresh local site. Tests that need the public hub are left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import orjson

VERSION = "2.4.0"
PEOPLE = {"USER": "dummy-hub-user", "OTHER_USER": "DVUser", "ENTERPRISE_USER": "EnterpriseAdmin", "WATCHED": "julien-c"}
ORGANISATIONS = {
    "EnterpriseOrgPrivate": "EnterpriseAdmin",
    "valid_org_hub": "dummy-hub-user",
    "HuggingFaceH4": "julien-c",
}
FILES = (
    "test_auth.py",
    "test_hf_api.py",
    "test_file_download.py",
    "test_snapshot_download.py",
    "test_hf_file_system.py",
    "test_commit_api.py",
    "test_commit_scheduler.py",
    "test_copy_files.py",
    "test_upload_pipeline.py",
    "test_xet_upload.py",
    "test_xet_download.py",
    "test_lfs.py",
    "test_repocard.py",
    "test_hub_mixin.py",
    "test_cli.py",
    "test_cli_discussions.py",
    "test_verification.py",
    "test_utils_errors.py",
    "test_tree_cache.py",
    "test_shared_blobs.py",
)
CONFTEST = '''
from __future__ import annotations

import pytest

from huggingface_hub import HfApi, RepoUrl

from .testing_constants import ENDPOINT_STAGING, TOKEN, USER
from .testing_utils import repo_name

MARKS = ("api", "transfer", "inference", "xet", "no_xet", "production", "git_lfs", "vcr")


def pytest_configure(config):
    for mark in (*MARKS, "deprecated", "flaky(reruns)", "asyncio"):
        config.addinivalue_line("markers", f"{mark}: as the suite uses it")


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in ("production", "inference", "vcr"):
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"needs the public hub ({mark})"))
        if item.get_closest_marker("no_xet"):
            item.add_marker(pytest.mark.skip(reason="needs a client without hf_xet"))


@pytest.fixture(autouse=True)
def forget_refreshed_token(monkeypatch):
    """The client remembers for minutes what became of a token, and many tests use the same one."""
    monkeypatch.setattr("huggingface_hub.utils._auth._OAUTH_REFRESH_CACHE", None)


@pytest.fixture(scope="session")
def api() -> HfApi:
    return HfApi(endpoint=ENDPOINT_STAGING, token=TOKEN)


class RepoFactory:
    """Makes repositories that are deleted after the test."""

    def __init__(self) -> None:
        self.made: list[tuple[HfApi, RepoUrl]] = []

    def __call__(self, repo_type: str = "model", *, repo_id: str | None = None, token: str = TOKEN, **more) -> RepoUrl:
        api = HfApi(endpoint=ENDPOINT_STAGING, token=token)
        url = api.create_repo(repo_id or repo_name(), repo_type=repo_type, **more)
        self.made.append((api, url))
        return url


@pytest.fixture
def new_repo_id(api):
    name = f"{USER}/{repo_name()}"
    yield name
    api.delete_repo(name, missing_ok=True)


@pytest.fixture(scope="class")
def repo_factory():
    factory = RepoFactory()
    yield factory
    for api, url in factory.made:
        api.delete_repo(url.repo_id, repo_type=url.repo_type, missing_ok=True)
'''


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder, and say where it is")
    parser.add_argument("--client", type=Path, help="a folder in which the source package is already unpacked")
    options, rest = parser.parse_known_args()
    work = Path(tempfile.mkdtemp(prefix="client-suite-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        tests = (options.client or fetch(work)) / "tests"
        server, data, url = start(work)
        suite = work / "suite"
        shutil.copytree(tests, suite / "tests")
        (suite / "tests" / "__init__.py").touch()
        (suite / "tests" / "conftest.py").write_text(CONFTEST)
        (suite / "tests" / "testing_constants.py").write_text(constants(suite / "tests", data, url))
        code = run(work, suite, url, rest)
        report(work / "result.xml")
        return code
    finally:
        if server is not None:
            server.terminate()
            server.wait(timeout=20)
        if options.keep:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


def fetch(work: Path) -> Path:
    """Unpack the client's source package into ``work``."""
    pip(work, "download", "--no-binary", ":all:", "--no-deps", "--dest", str(work), f"huggingface_hub=={VERSION}")
    with tarfile.open(next(work.glob("huggingface_hub-*.tar.gz"))) as archive:
        archive.extractall(work, filter="data")
    return work / f"huggingface_hub-{VERSION}"


def pip(work: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, cwd=work)


def start(work: Path) -> tuple[subprocess.Popen[bytes], Path, str]:
    """A fresh site with the suite's people in it."""
    data = work / "data"
    with (work / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "headwater", "up", f"--data={data}", "--port=0"], stdout=log, stderr=log
        )
    deadline = time.monotonic() + 60
    while not (data / "server.json").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the server did not start:\n{(work / 'server.log').read_text()}")
        time.sleep(0.05)
    for name in PEOPLE.values():
        headwater(data, "user", "create", name, "--password-stdin", stdin="a long enough password 1")
    for name, owner in ORGANISATIONS.items():
        headwater(data, "org", "create", name, "--owner", owner, "--full-name", "Dummy Hub Org")
    return server, data, orjson.loads((data / "server.json").read_bytes())["url"]


def headwater(data: Path, *arguments: str, stdin: str = "") -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", *arguments, f"--data={data}", "--json"],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, str] = orjson.loads(done.stdout)
    return found


def constants(tests: Path, data: Path, url: str) -> str:
    """The suite's constants, with this site's address, people and tokens in the place of the makers'."""

    def token(person: str) -> str:
        return headwater(data, "token", "create", "--user", person, "--scope", "write")["token"]

    ours = {
        **PEOPLE,
        "FULL_NAME": PEOPLE["USER"],
        "TOKEN": token(PEOPLE["USER"]),
        "OTHER_TOKEN": token(PEOPLE["OTHER_USER"]),
        "ENTERPRISE_TOKEN": token(PEOPLE["ENTERPRISE_USER"]),
        "ENTERPRISE_ORG": "EnterpriseOrgPrivate",
        "ENDPOINT_STAGING": url,
    }
    text = (tests / "testing_constants.py").read_text()
    return text + "".join(f"{name} = {value!r}\n" for name, value in ours.items())


def run(work: Path, suite: Path, url: str, rest: list[str]) -> int:
    pip(work, "install", "--no-deps", "--target", str(work / "extra"), "pytest-mock", "jedi", "parso")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))},
        "HF_ENDPOINT": url,
        "HF_HOME": str(work / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(work / "extra"),
        "DISABLE_SYMLINKS_IN_WINDOWS_TESTS": "1",
    }
    chosen = rest if any(word.startswith("tests/") for word in rest) else [*rest, *(f"tests/{name}" for name in FILES)]
    flags = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(suite),
        f"--junitxml={work / 'result.xml'}",
    ]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *flags, "--tb=short", *chosen], cwd=suite, env=environment, check=False
    ).returncode


def report(path: Path) -> None:
    """Counts, then one line for each failure: file, test, what was said."""
    counts: Counter[tuple[str, str]] = Counter()
    failed: list[tuple[str, str, str]] = []
    for case in ET.parse(path).getroot().iter("testcase"):
        file = (
            case.get("classname", "").split(".")[1] if "." in case.get("classname", "") else case.get("classname", "")
        )
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        state = "failed" if problem is not None else "skipped" if case.find("skipped") is not None else "passed"
        counts[file, state] += 1
        if problem is not None:
            said = " ".join((problem.get("message") or "").split())
            where = case.get("classname", "").rpartition(".")[2]
            failed.append((file, f"{where}::{case.get('name')}", said[:160]))
    print("\n| file | passed | failed | skipped |\n|---|---|---|---|")
    for file in sorted({file for file, _ in counts}):
        print(f"| {file} | {counts[file, 'passed']} | {counts[file, 'failed']} | {counts[file, 'skipped']} |")
    if failed:
        print("\n| file | test | what was said |\n|---|---|---|")
        for row in failed:
            print("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")


if __name__ == "__main__":
    raise SystemExit(main())
