"""A real server for the tests: ``headwater up`` as a process of its own, on a free port, with a few people."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Read by the clients when they are imported: nothing of the person who runs the tests may leak in, or out.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="headwater-hf-")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
for _name in ("HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(_name, None)

import orjson
import pytest

from headwater.accounts import passwords
from headwater.accounts.models import Role
from headwater.accounts.service import organisations, people, tokens
from headwater.cli.open import open_site
from headwater.kernel import SYSTEM, utcnow
from tests import growth
from tests.servers.chromium import chromium, windows_closed  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from headwater.web import Site

START_S = 60.0
PASSWORD = "seven calm herons drink"


class LiveApp:
    """A running server. ``options`` are flags of ``headwater up`` (``workers=1``); ``env`` holds settings.

    ``module`` is started instead of ``headwater``: one of the tests that adds to it and then is the same.
    """

    def __init__(
        self,
        data: Path,
        *,
        env: dict[str, str] | None = None,
        options: dict[str, Any] | None = None,
        module: str = "headwater",
    ) -> None:
        self.data = data
        self.log_path = data.with_name(f"{data.name}.log")
        self._tokens: dict[tuple[str, str], str] = {}
        flags = [f"--{name}={value}" for name, value in {"port": 0, **(options or {})}.items()]
        if not (data / "headwater.toml").exists():
            growth.write_settings(data)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "up", f"--data={data}", *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_env(env),
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        path, deadline = self.data / "server.json", time.monotonic() + START_S
        while True:
            # An earlier server that was killed may have left its own file.
            written = orjson.loads(path.read_bytes()) if path.exists() else {}
            if written.get("pid") == self.process.pid:
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the server did not start:\n{self.log()}")
            time.sleep(0.01)
        self.url: str = written["url"]

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        """What was logged under this event so far."""
        found = []
        for line in self.log().split("\n"):  # not at what else Unicode calls the end of a line
            if line.startswith("{"):
                entry = orjson.loads(line)
                if entry.get("event") == event:
                    found.append(entry)
        return found

    def cli(self, *arguments: str, stdin: str = "") -> Any:
        """Run ``headwater ... --data D --json`` and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "headwater", *arguments, f"--data={self.data}", "--json"],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=clean_env(),
        )
        assert done.returncode == 0, done.stderr
        return orjson.loads(done.stdout)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Site]:
        """The same data folder, opened beside the server, as the commands do."""
        site = open_site(self.data)
        try:
            yield site
        finally:
            site.db.close()

    def add_person(self, name: str, *, admin: bool = False) -> None:
        """Create a person whose password is ``PASSWORD``."""
        with self.opened() as site:
            site.db.write(
                people.create_person,
                SYSTEM,
                name,
                password_hash=passwords.hash_password(PASSWORD),
                is_site_admin=admin,
                now=utcnow(),
            )

    def add_people(self) -> None:
        """Make ada (administrator), bob, eve, and the organisation lab, which is ada's."""
        hashed = passwords.hash_password(PASSWORD)
        with self.opened() as site:
            for name in ("ada", "bob", "eve"):
                site.db.write(
                    people.create_person,
                    SYSTEM,
                    name,
                    password_hash=hashed,
                    is_site_admin=name == "ada",
                    now=utcnow(),
                )
            site.db.write(organisations.create_organisation, SYSTEM, "lab", owner="ada", now=utcnow())

    def add_member(self, org: str, person: str, role: Role) -> None:
        with self.opened() as site:
            site.db.write(organisations.set_role, SYSTEM, org, person, role, now=utcnow())

    def token(self, user: str, scope: str = "write") -> str:
        """A token of ``user``; the same one each time."""
        found = self._tokens.get((user, scope))
        if found is None:
            with self.opened() as site:
                made = site.db.write(
                    tokens.create_token,
                    SYSTEM,
                    owner=user,
                    name=f"{scope} for tests",
                    role=scope,
                    grants=[],
                    expires_at=None,
                    now=utcnow(),
                )
            found = self._tokens[user, scope] = made.secret
        return found

    def hf(self, user: str | None, scope: str = "write") -> HfApi:
        """The real client, signed in as ``user``; None is a stranger."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.url, token=False if user is None else self.token(user, scope))

    def processes(self) -> list[int]:
        """The server's processes, the parent first."""
        pids, at = [self.process.pid], 0
        while at < len(pids):
            children = Path(f"/proc/{pids[at]}/task/{pids[at]}/children")
            with contextlib.suppress(FileNotFoundError):
                pids += [int(pid) for pid in children.read_text().split()]
            at += 1
        return pids

    def stop(self, *, timeout_s: float = 12.0) -> int:
        """End it by SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def end_runs(self, *, timeout_s: float = 30.0) -> None:
        """End what runs have started and the server has left: it does not end with it."""
        deadline = time.monotonic() + timeout_s
        for path in (self.data / "runs").glob("*/attempt-*/started.json"):
            pid = orjson.loads(path.read_bytes())["pid"]
            with contextlib.suppress(OSError):
                if b"supervisor.py" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    continue  # it has ended, and its number is another's
                os.kill(pid, signal.SIGTERM)
                while not (path.parent / "exit.json").exists() and time.monotonic() < deadline:
                    time.sleep(0.02)

    def check_clean(self) -> None:
        """Nothing answered 500, no answer broke off for a reason of ours, and no process died."""
        broken = [
            entry
            for event in ("request.failed", "refusal.failed", "process.died", "process.failed", "periodic.failed")
            for entry in self.log_lines(event)
        ]
        assert not broken, f"the server failed under the tests:\n{broken[0].get('exception', broken[0])}"


def clean_env(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The tests' own environment without settings of ours, and with ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    return kept | (extra or {})


def wait_for(condition: Callable[[], Any], *, timeout_s: float = 20.0, what: str = "the condition") -> Any:
    """Wait until ``condition()`` is true, and return what it returned."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come about within {timeout_s} s"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def live_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """The server most tests share: use names of your own in it."""
    app = LiveApp(tmp_path_factory.mktemp("site") / "data")
    try:
        app.add_people()
        yield app
    finally:
        app.stop()
        app.end_runs()
    app.check_clean()


@pytest.fixture
def new_app(tmp_path: Path) -> Iterator[Callable[..., LiveApp]]:
    """Makes servers of this test's own: ``new_app(env={...}, workers=1)``; each with ada, bob, eve and lab."""
    made: list[LiveApp] = []

    def make(*, env: dict[str, str] | None = None, people: bool = True, **options: Any) -> LiveApp:
        app = LiveApp(tmp_path / f"data{len(made)}", env=env, options=options)
        made.append(app)
        if people:
            app.add_people()
        return app

    yield make
    for app in made:
        app.stop()
        app.end_runs()
    for app in made:
        app.check_clean()


@contextlib.contextmanager
def app_on_small_disk(data: Path, *, size_mib: int) -> Iterator[LiveApp]:
    """A server whose blobs lie on a file system of ``size_mib``; checked clean at the end. Mounting needs root."""
    if growth.ON_GROWTH:
        pytest.skip("about the folder itself")
    blobs = data / "blobs"
    blobs.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(blobs)], check=True)
    try:
        app = LiveApp(data, options={"workers": 1})
        try:
            app.add_people()
            yield app
        finally:
            app.stop()
        app.check_clean()
    finally:
        subprocess.run(["umount", "-l", str(blobs)], check=True)
