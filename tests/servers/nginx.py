"""A real nginx in the foreground, with what a test puts into its ``http`` block."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import wait_for


@contextlib.contextmanager
def nginx(folder: Path, http: str, *, port: int) -> Iterator[None]:
    """Listens on ``port``, among others perhaps, when the block begins."""
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "nginx.conf"
    conf.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n"
        f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
        f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{http}\n}}\n"
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"  # which is in no user's path
    proxy = subprocess.Popen([program, "-p", str(folder), "-c", str(conf)], stderr=subprocess.PIPE)
    try:

        def listens() -> bool:
            assert proxy.poll() is None, proxy.stderr.read() if proxy.stderr else ""
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                return True
            return False

        wait_for(listens, what="nginx")
        yield
    finally:
        proxy.terminate()
        proxy.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
