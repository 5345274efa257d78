"""A real S3-compatible store for tests: SeaweedFS, one a test process, started on first use, gone with it."""

from __future__ import annotations

import atexit
import ctypes
import functools
import itertools
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

KEY_ID, SECRET_KEY = "headwater-tests", "stones under tide"
START_S = 60.0
_PR_SET_PDEATHSIG = 1
_number = itertools.count(1)


class Seaweed:
    """``url`` is its address; buckets are made by ``new_bucket``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = folder / "s3.json"
        identity = {
            "name": "hub",
            "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config.write_text(json.dumps({"identities": [identity]}))
        names = ("s3.port", "filer.port", "master.port", "volume.port", "webdav.port", "admin.port")
        ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self.url = f"http://127.0.0.1:{ports['s3.port']}"
        flags = [f"-{name}={port}" for name, port in ports.items()]
        (folder / "data").mkdir()
        self._command = [
            str(Path(sys.executable).with_name("weed")),
            f"-logdir={folder}",
            "mini",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={folder / 'data'}",
            f"-s3.config={config}",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *flags,
        ]
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, preexec_fn=_die_with_parent)  # noqa: PLW1509 -- one call, which takes no lock
        self._wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def new_bucket(self) -> str:
        name = f"bucket-{next(_number)}"
        deadline = time.monotonic() + START_S
        while True:
            answer = self.calls(name).call("PUT", "", in_bucket=True)
            if answer.status == 200:
                return name
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    def calls(self, bucket: str, prefix: str = "") -> Any:
        """The hub's own signed calls, for what tests do behind its back."""
        from headwater.blobs.presign import Signer
        from headwater.blobs.s3calls import S3Calls

        signer = Signer(self.url, bucket, "us-east-1", KEY_ID, SECRET_KEY)
        return S3Calls(signer, signer, prefix, timeout_s=30)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5)
            except urllib.error.HTTPError as exc:
                if exc.code == 403:  # it answers, and knows that it was not asked by one of ours
                    return
            except OSError:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise AssertionError(f"SeaweedFS did not start:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and so are those 10,000 above, which each part of it takes as well."""
    held, found = [], []
    for port in range(20_000 + (time.monotonic_ns() // 1000) % 15_000, 55_000):
        pair = []
        try:
            for number in (port, port + 10_000):
                probe = socket.socket()
                pair.append(probe)
                probe.bind(("127.0.0.1", number))
        except OSError:
            for probe in pair:
                probe.close()
            continue
        held += pair
        found.append(port)
        if len(found) == count:
            break
    for probe in held:
        probe.close()
    return found


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@functools.cache
def seaweed() -> Seaweed:
    """The test process's own."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-seaweed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = Seaweed(folder)
    atexit.register(made.stop)
    return made
