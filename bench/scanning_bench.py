"""The file gate's judges on large files, each in a process of its own: ``python -m bench.scanning_bench``."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

from bench.harness import Report, workspace

_JUDGE = """
import os, resource, sys
from headwater import scanning
path = sys.argv[1]
source = scanning.Opened(os.open(path, os.O_RDONLY), os.path.getsize(path))
before = resource.getrusage(resource.RUSAGE_SELF)
judged = scanning.judge(path, source)
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024, judged.verdict.name)
"""


def torch_file(path: Path, size_bytes: int) -> Path:
    """What ``torch.save`` writes: a zip of stored members, one of them a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": list(range(1000))}, 2))
        for number in range(8):
            archive.writestr(f"archive/data/{number}", os.urandom(size_bytes // 8))
        archive.writestr("archive/version", "3\n")
    return path


def dict_file(path: Path, n_entries: int) -> Path:
    """A pickle of ``n_entries`` names with numbers, as the usual pickler writes it, without having it in memory."""
    with path.open("wb") as out:
        out.write(b"\x80\x04}\x94(")
        for n in range(n_entries):
            name = b"name-%08d" % n
            out.write(b"\x8c" + bytes([len(name)]) + name + b"\x94J" + struct.pack("<i", n))
            if n % 1000 == 999:
                out.write(b"u(")
        out.write(b"u.")
    return path


def judged(path: Path) -> tuple[float, float, str]:
    """CPU seconds, MiB at the most, and the verdict."""
    done = subprocess.run([sys.executable, "-c", _JUDGE, str(path)], capture_output=True, text=True, check=True)
    cpu_s, mib, verdict = done.stdout.split()
    return float(cpu_s), float(mib), verdict


def run(report: Report, *, n_entries: int) -> None:
    with workspace() as folder:
        path = torch_file(folder / "model.pt", 100 << 20)
        cpu_s, mib, verdict = min(judged(path) for _ in range(3))
        report.add(
            "a torch file of 100 MiB, judged",
            f"{cpu_s:.2f} CPU s, {mib:.0f} MB, {verdict.lower()}",
            "≤ 0.5 s",
            met=cpu_s <= 0.5 and verdict == "CLEAN",
        )
        path = dict_file(folder / "names.pkl", n_entries)
        size = path.stat().st_size >> 20
        cpu_s, mib, verdict = min(judged(path) for _ in range(2))
        report.add(
            f"a pickle of {n_entries:,} entries ({size} MiB), judged",
            f"{cpu_s:.1f} CPU s, {mib:.0f} MB, {verdict.lower()}",
            "≤ 20 s, ≤ 300 MB",
            met=cpu_s <= 20 and mib <= 300 and verdict == "CLEAN",
        )


if __name__ == "__main__":
    run(Report(), n_entries=4_000_000)
