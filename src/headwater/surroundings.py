"""What this machine must offer: each check says what was found, and how to mend what is wrong.

``headwater doctor`` shows them all; ``headwater up`` refuses to start where git is missing or too old.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from headwater.kernel import HeadwaterError, Kind

LEAST_GIT = (2, 39)
LEAST_SQLITE = (3, 35)  # RETURNING
LEAST_FREE_BYTES = 1 << 30
LEAST_OPEN_FILES = 1024
GOOD_OPEN_FILES = 4096
# Locks and shared memory of SQLite do not hold across hosts on these.
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs"}


class Verdict(Enum):
    GOOD = "good"
    WARNING = "warning"  # works, with less comfort or for less long
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One check. ``mend`` is what to do, "" where nothing needs to be done."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


class GitMissing(HeadwaterError):
    code = "git_missing"
    kind = Kind.UNAVAILABLE

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.found} {finding.mend}")


def require_git() -> None:
    """Return if git is here and new enough.

    Raises:
        GitMissing: it is not.
    """
    finding = check_git()
    if finding.verdict is Verdict.BAD:
        raise GitMissing(finding)


def check_git() -> Finding:
    wanted = ".".join(map(str, LEAST_GIT))
    try:
        version = _version_of("git", "--version")
    except _FailedError as exc:
        return Finding(
            "git", Verdict.BAD, f"git is installed, but could not be run: {exc}.", "Run it by hand: git --version"
        )
    if version is None:
        return Finding("git", Verdict.BAD, "git is not installed.", f"Install git {wanted} or later: apt install git")
    text = ".".join(map(str, version))
    if version < LEAST_GIT:
        return Finding("git", Verdict.BAD, f"git is {text}.", f"Install git {wanted} or later.")
    return Finding("git", Verdict.GOOD, f"git is {text}.")


def check_git_lfs() -> Finding:
    try:
        version = _version_of("git", "lfs", "version")
    except _FailedError:  # git's own words for a command that it does not have
        version = None
    if version is None:
        return Finding(
            "git-lfs",
            Verdict.WARNING,
            "git-lfs is not installed; the server does not need it, people who push large files by git do.",
            "Install it where they work: apt install git-lfs",
        )
    return Finding("git-lfs", Verdict.GOOD, f"git-lfs is {'.'.join(map(str, version))}.")


def check_namespaces() -> Finding:
    """What turns torch files into safetensors is shut in; without this it is not done at all."""
    from headwater.scanning.confined import has_namespaces

    if has_namespaces():
        return Finding("namespaces", Verdict.GOOD, "A process can be shut off from the network and from files.")
    return Finding(
        "namespaces",
        Verdict.WARNING,
        "This system gives no user namespaces: converting torch files to safetensors is refused.",
        "Allow unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, or the container's seccomp profile).",
    )


# What each extra of runs and serving is for, and modules by which its presence is known.
EXTRAS = {
    "runs": ("programs of runs", ("huggingface_hub", "hf_xet")),
    "energy": ("energy and CO2e of runs", ("codecarbon",)),
    "corpora": ("building corpora", ("daft", "numba", "pyarrow")),
    "train": ("training", ("torch", "transformers", "trl", "peft")),
    "evaluate": ("evaluating", ("torch", "transformers", "lm_eval")),
    "serve": ("serving by transformers, and the openai client", ("torch", "transformers")),
    "ray": ("runs on a Ray cluster", ("ray",)),
    "tour": ("the tour", ("openai", "huggingface_hub")),
}


def missing_of(*extras: str) -> list[tuple[str, list[str]]]:
    """Of these extras, those that are not installed, each with the modules that are missing."""
    from importlib.util import find_spec

    missing = [(name, [module for module in EXTRAS[name][1] if find_spec(module) is None]) for name in extras]
    return [(name, modules) for name, modules in missing if modules]


def check_extras() -> Iterator[Finding]:
    """Which optional parts are installed beside the server; it starts without any of them."""
    for name, (use, _) in EXTRAS.items():
        missing = [module for _, modules in missing_of(name) for module in modules]
        if missing:
            found = f"headwater[{name}] ({use}) is not installed: {', '.join(missing)} missing."
            yield Finding(f"extra {name}", Verdict.WARNING, found, f"For that: pip install 'headwater[{name}]'")
        else:
            yield Finding(f"extra {name}", Verdict.GOOD, f"headwater[{name}] ({use}) is installed.")


def check_python() -> Finding:
    return Finding("python", Verdict.GOOD, f"Python is {sys.version.split()[0]}.")


def check_sqlite() -> Finding:
    name, text = "sqlite", f"SQLite is {sqlite3.sqlite_version}."
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        return Finding(name, Verdict.BAD, text, "Use a Python that is linked with SQLite 3.35 or later.")
    with sqlite3.connect(":memory:") as conn:
        try:
            conn.execute("create virtual table probe using fts5(x)")
        except sqlite3.OperationalError:
            return Finding(name, Verdict.BAD, f"{text} It lacks FTS5.", "Use a Python whose SQLite has FTS5.")
        finally:
            conn.rollback()
    return Finding(name, Verdict.GOOD, text)


def check_folder(data_dir: Path) -> Iterator[Finding]:
    """Rights, file system, space and age of the data folder, or of the place where it would be made."""
    place = data_dir
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            "folder", Verdict.BAD, f"{place} cannot be written to.", "Choose another --data, or change its owner."
        )
        return
    if place == data_dir and data_dir.stat().st_mode & 0o007:
        mend = f"Passwords' hashes and tokens' digests are in it: chmod o-rwx {data_dir}"
        yield Finding("folder", Verdict.WARNING, f"{data_dir} is open to every user of this machine.", mend)
    else:
        yield Finding("folder", Verdict.GOOD, f"{place} can be written to.")
    kind = _file_system_of(place)
    if kind in NETWORK_FILE_SYSTEMS:
        mend = "Keep the data on a local disk: SQLite's locks do not hold across hosts."
        yield Finding("file system", Verdict.BAD, f"{place} lies on a network file system ({kind}).", mend)
    usage = shutil.disk_usage(place)
    free = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free."
    if usage.free < LEAST_FREE_BYTES:
        yield Finding("space", Verdict.BAD, free, "Make room: uploads are refused when the disk is full.")
    elif usage.free < usage.total // 20:
        yield Finding("space", Verdict.WARNING, free, "Less than a twentieth is left. Plan for more.")
    else:
        yield Finding("space", Verdict.GOOD, free)
    yield _check_clock(data_dir)


def check_open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"A process may open {soft} files (at most {hard})."
    if soft < LEAST_OPEN_FILES:
        return Finding("open files", Verdict.BAD, text, f"Before the start: ulimit -n {min(hard, 65536)}")
    if soft < GOOD_OPEN_FILES:
        return Finding("open files", Verdict.WARNING, text, f"For many users at once: ulimit -n {min(hard, 65536)}")
    return Finding("open files", Verdict.GOOD, text)


def check_port(host: str, port: int, *, is_ours: bool) -> Finding:
    if is_ours:
        return Finding("port", Verdict.GOOD, "The server of this data folder holds its port.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            mend = "Choose another: headwater up --port 0 takes any free one."
            return Finding("port", Verdict.BAD, f"{host} port {port} cannot be used: {exc.strerror}.", mend)
    return Finding("port", Verdict.GOOD, f"{host} port {port} is free.")


def _check_clock(data_dir: Path) -> Finding:
    """A clock that went back makes new things look old: collectors would wait, tokens live on, links end early."""
    written = [path.stat().st_mtime for path in data_dir.glob("headwater.db*")]
    ahead_s = max(written, default=0.0) - time.time()
    if ahead_s > 60:
        mend = "Set the clock, and keep it set: apt install chrony"
        return Finding("clock", Verdict.BAD, f"The database was written {ahead_s:.0f} s in the future.", mend)
    if time.gmtime().tm_year < 2026:
        return Finding("clock", Verdict.BAD, f"The clock says {time.gmtime().tm_year}.", "Set the clock.")
    return Finding("clock", Verdict.GOOD, "The clock has not gone back.")


class _FailedError(Exception):
    """A program is there and did not do its work."""


def _version_of(*command: str) -> tuple[int, ...] | None:
    """None where there is no such program."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except FileNotFoundError:
        return None
    except subprocess.CalledProcessError as exc:
        raise _FailedError(f"it ended with {exc.returncode} and said {exc.stderr.strip()[-300:]!r}") from exc
    except (OSError, subprocess.SubprocessError) as exc:
        raise _FailedError(str(exc)) from exc
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(part) for part in match.groups() if part is not None) if match else None


def _file_system_of(path: Path) -> str:
    """The type of the mount that holds ``path``; "" where that cannot be told."""
    best, kind = "", ""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    whole = str(path.resolve())
    for line in lines:
        _, mount, found, *_ = line.split()
        mount = mount.replace("\\040", " ")
        if (whole + "/").startswith(mount.rstrip("/") + "/") and len(mount) >= len(best):
            best, kind = mount, found
    return kind
