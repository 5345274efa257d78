"""Several hosts of one site, as processes with folders and ports of their own, behind a real nginx."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import LiveApp
from tests.hosts.stopping import processes_below
from tests.servers.nginx import nginx
from tests.servers.postgres import cluster
from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed

DEPLOY = Path(__file__).parents[2] / "deploy"
_GIVEN = 'blobs = "{blobs}"\n{top}\n[database]\nurl = "{database}"\n[s3]\nendpoint = "{s3}"\nkey_id = "{key}"\nsecret_key = "{secret}"\n'


class Host(LiveApp):
    """``url`` is the site's; ``direct`` the host's own."""

    def __init__(self, data: Path, port: int, *, env: dict[str, str] | None = None) -> None:
        self.direct = f"http://127.0.0.1:{port}"
        super().__init__(data, env=env, options={"port": port, "workers": 1})

    def processes(self) -> list[int]:
        return processes_below(self.process.pid)

    def queue_worker(self) -> int:
        """Its process: the parent starts it after the one web worker."""
        return self.processes()[2]

    def kill(self) -> None:
        """As when the machine loses its power: nobody of it says a word any more."""
        pids = self.processes()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        for pid in dict.fromkeys([*pids, *self.processes()]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop_in(self, program: str, timeout_s: float = 120) -> None:
        """Come back when a process of this host is ``program``, which stands still from then on."""
        watcher = [sys.executable, "-m", "tests.hosts.stopping", str(self.process.pid), program, str(timeout_s)]
        done = subprocess.run(watcher, cwd=DEPLOY.parent, check=False, timeout=timeout_s + 30)
        assert done.returncode == 0, f"{program} was not seen in {timeout_s} s"


def new_database(name: str) -> str:
    cluster().sql(f"drop database if exists {name} with (force)")
    cluster().sql(f"create database {name}")
    return cluster().url_of(name)


def write_toml(data: Path, database: str, blobs: str, **top: object) -> None:
    """What a host is told; the same on all but for ``top``."""
    data.mkdir(parents=True)
    lines = "\n".join(
        f"{name} = {value if isinstance(value, int) else f'{chr(34)}{value}{chr(34)}'}" for name, value in top.items()
    )
    text = _GIVEN.format(blobs=blobs, top=lines, database=database, s3=seaweed().url, key=KEY_ID, secret=SECRET_KEY)
    (data / "headwater.toml").write_text(
        text + '[web]\ntrusted_proxies = ["127.0.0.1"]\n[webhook]\nallow = ["127.0.0.1"]\n'
    )


@contextlib.contextmanager
def balancer(folder: Path, port: int, hosts: list[int]) -> Iterator[None]:
    """Nginx with what deploy/ says, without its TLS; requests go to the hosts in turn."""
    text = (DEPLOY / "nginx" / "headwater.conf").read_text()
    server = text[text.index("    # Files are as large") :]
    upstream = "".join(f"server 127.0.0.1:{host} max_fails=2 fail_timeout=5s; " for host in hosts)
    for name in ("X-Forwarded-Proto $scheme", "proxy_next_upstream error timeout"):
        assert name in server
    # What is left of the file ends its ``server``.
    http = f"upstream headwater {{ {upstream} keepalive 32; }}\nserver {{ listen 127.0.0.1:{port};\n{server}\n"
    with nginx(folder, http, port=port):
        yield
