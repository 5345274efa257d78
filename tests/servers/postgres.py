"""A real PostgreSQL for tests: one cluster a test process, started on first use, gone with it."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

START_S = 60.0
OWNER = "headwater"
PASSWORD = "tide over stones"
_PR_SET_PDEATHSIG = 1


class Cluster:
    """``url_of("name")`` goes by the socket and needs no password; ``tcp_url_of`` does. One that is in ``folder`` already is started again."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log_path = folder / "log"
        self._account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(folder, self._account, self._account)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(secret, self._account, self._account)
        # Sorted by another rule than by bytes, so that a column which forgets to say how it sorts is found out.
        locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
        auth = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--username={OWNER}", f"--pwfile={secret}"]
        if not self.data.exists():
            self._run("initdb", "--no-sync", f"--pgdata={self.data}", *locale, *auth)
        self.port = _free_port()
        lasting = "on" if fsync else "off"
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "port": self.port,
            "unix_socket_directories": f"'{folder}'",
            "max_connections": 300,
            "fsync": lasting,
            "full_page_writes": lasting,
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "shared_buffers": "'64MB'",
        }
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self.start()

    def start(self) -> None:
        """Returns once it answers."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [_binary("postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_the_parent,  # noqa: PLW1509 -- nothing else runs on threads here yet
                **self._as_its_own(),
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start:\n{self.log_path.read_text()}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGTERM waits for clients, SIGINT breaks them off, SIGQUIT leaves everything to recovery."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(30)

    def url_of(self, database: str) -> str:
        return f"postgresql://{OWNER}@/{database}?{urlencode({'host': self.folder, 'port': self.port})}"

    def tcp_url_of(self, database: str, *, password: str = PASSWORD, account: str = OWNER) -> str:
        return f"postgresql://{account}:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement by itself; its rows."""
        import psycopg

        with psycopg.connect(self.url_of(database), autocommit=True) as conn:
            cursor = conn.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def _answers(self) -> bool:
        done = subprocess.run(
            [_binary("pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port)], check=False, timeout=10
        )
        return done.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_binary(program), *arguments], capture_output=True, text=True, check=False, **self._as_its_own()
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_its_own(self) -> dict[str, object]:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        return {"user": self._account, "group": self._account, "extra_groups": [], "cwd": "/"}


@functools.cache
def cluster() -> Cluster:
    """The one that tests share."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-pg-"))
    folder.chmod(0o755)
    made = Cluster(folder)

    @atexit.register
    def _end() -> None:
        made.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)

    return made


def _binary(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    program = str(found[-1]) if found else shutil.which(name)
    assert program is not None, f"{name} is not installed: run tools/setup.sh test"
    return program


def _end_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
