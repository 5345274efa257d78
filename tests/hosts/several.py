"""Several hosts of one site, as processes with folders and ports of their own, behind a real nginx."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import LiveApp, wait_for
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
        """With those that were started by threads, as git's are."""
        pids, at = [self.process.pid], 0
        while at < len(pids):
            for children in Path(f"/proc/{pids[at]}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    pids += [int(pid) for pid in children.read_text().split()]
            at += 1
        return pids

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

    def runs(self, program: str) -> bool:
        """Whether a process of this host is ``program``."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return True
        return False


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
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(nginx).exists():
        pytest.skip("nginx is not installed")
    text = (DEPLOY / "nginx" / "headwater.conf").read_text()
    server = text[text.index("    # Files are as large") :]
    upstream = "".join(f"server 127.0.0.1:{host} max_fails=2 fail_timeout=5s; " for host in hosts)
    for name in ("X-Forwarded-Proto $scheme", "proxy_next_upstream error timeout"):
        assert name in server
    folder.mkdir()
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n"
        f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
        f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"upstream headwater {{ {upstream} keepalive 32; }}\n"
        f"server {{ listen 127.0.0.1:{port};\n{server}\n}}\n"
    )
    if os.geteuid() == 0:
        conf.write_text(f"user root;\n{conf.read_text()}")
    proxy = subprocess.Popen([nginx, "-p", str(folder), "-c", str(conf)], stderr=subprocess.PIPE)
    try:

        def answers() -> bool:
            assert proxy.poll() is None, proxy.stderr.read() if proxy.stderr else ""
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code < 600
            return False

        wait_for(answers, what="nginx")
        yield
    finally:
        proxy.terminate()
        proxy.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
