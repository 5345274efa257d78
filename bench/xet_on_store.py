"""What Xet costs a hub whose objects lie in an S3-compatible store. ``python -m bench.xet_on_store [--mb 256] [--rounds 3]``.

SQLite and SeaweedFS on this machine; CPU is the hub's alone, store and clients are processes of their own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed

from bench import harness as h
from bench.transfer import bf16_file, curl, hf, sha256_in_memory, upload

DOWNLOAD = "from huggingface_hub import hf_hub_download; hf_hub_download({repo!r}, 'w.bin')"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", action="store_true", help="the same on the folder, to compare with")
    given = parser.parse_args()
    size = given.mb * 10**6
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as name:
        folder = Path(name)
        if not given.folder:
            write_settings(folder / "data")
        with h.headwater(folder) as site:
            for kind, make in (("incompressible", h.random_file), ("bf16 weights", bf16_file)):
                rows: dict[str, list[float]] = {}
                for n in range(given.rounds):
                    for step, cost in one_round(
                        site, folder, make, size, f"{kind[:4]}-{n}", n, with_copy=not given.folder
                    ):
                        rows.setdefault(step, []).append(cost)
                for step, costs in rows.items():
                    shown = ", ".join(f"{cost:.2f}" for cost in sorted(costs))
                    print(f"| {step}, {kind} | {statistics.median(costs):.2f} CPU s/GB [{shown}] |", flush=True)


def write_settings(data: Path) -> None:
    data.mkdir()
    (data / "headwater.toml").write_text(
        f'blobs = "s3://{seaweed().new_bucket()}/bench"\n'
        f'[s3]\nendpoint = "{seaweed().url}"\nkey_id = "{KEY_ID}"\nsecret_key = "{SECRET_KEY}"\n'
    )


def one_round(
    site: h.Headwater,
    folder: Path,
    make: Callable[[Path, int], Path],
    size: int,
    name: str,
    n: int,
    *,
    with_copy: bool,
) -> list[tuple[str, float]]:
    path = make(folder / "w.bin", size)
    data = bytearray(path.read_bytes())
    data[n::65536] = bytes(len(data[n::65536]))  # other bytes each time, or dedup answers
    path.write_bytes(data)
    del data
    repo, found = f"ada/{name}", [("sha256 in memory", sha256_in_memory())]

    def spend(step: str, act: Callable[[], object]) -> None:
        before = h.cpu_s(site.pid)
        act()
        found.append((step, (h.cpu_s(site.pid) - before) / size * h.GB))

    url = f"{site.url}/{repo}/resolve/main/w.bin"
    spend("upload by hf_xet", lambda: upload(site, repo, path, "w.bin", HF_HOME=str(folder / f"up-{name}")))
    spend("download by hf_xet", lambda: hf(site, DOWNLOAD.format(repo=repo), HF_HOME=str(folder / f"down-{name}")))

    def read_and_copy() -> None:
        curl(url)
        until = time.monotonic() + 300
        while with_copy and not httpx.head(url).is_redirect and time.monotonic() < until:
            time.sleep(0.5)

    spend("first plain read, and the copy made by it", read_and_copy)
    spend("plain read after that", lambda: curl("-L", url))
    return found


if __name__ == "__main__":
    main()
