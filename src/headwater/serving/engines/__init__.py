"""Which engine serves a revision, from the names of its files alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headwater.kernel import Settings
from headwater.serving.errors import EngineMissing, NotServable
from headwater.serving.models import LLAMA_CPP, TRANSFORMERS

# By how well they keep a model for the room they take; what is not named comes after, the smallest first.
_LIKED = ("Q4_K_M", "Q5_K_M", "Q4_K_S", "Q8_0", "Q6_K", "Q5_K_S", "Q4_0", "Q4_1")
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_READS = (".json", ".txt", ".model", ".jinja", ".safetensors", ".tiktoken")
_NO_MODEL = re.compile(r"(^|/)mmproj|imatrix|vocab", re.IGNORECASE)


@dataclass(frozen=True)
class Chosen:
    """``file`` is None where the engine reads the whole folder; ``size_bytes`` is what it will load."""

    engine: str
    file: str | None
    size_bytes: int


def available(settings: Settings) -> dict[str, str]:
    """The engines of this host by name, each with where it is."""
    from headwater.serving.engines import llama, local

    found = {}
    program = llama.find(settings)
    if program is not None:
        found[LLAMA_CPP] = str(program)
    if local.is_installed():
        found[TRANSFORMERS] = "this interpreter"
    return found


def choose(settings: Settings, files: Sequence[tuple[str, int]], *, engine: str, file: str | None, repo: str) -> Chosen:
    """The engine and the file for a revision of these (path, size): llama.cpp for a GGUF, else transformers.

    Raises:
        NotServable: nothing fits; says what to do. EngineMissing: what fits is not on this machine.
    """
    here = available(settings)
    sizes = dict(files)
    ggufs = [path for path, _ in files if path.lower().endswith(".gguf") and not _NO_MODEL.search(path)]
    if file is not None:
        if file not in sizes:
            raise NotServable(f"it has no file {file!r}. GGUF files it has: {', '.join(sorted(ggufs)[:20]) or 'none'}.")
        if not file.lower().endswith(".gguf"):
            raise NotServable(
                f"{file!r} is not a GGUF file; leave the file out to serve safetensors with transformers."
            )
        if engine == TRANSFORMERS:
            raise NotServable("the engine transformers serves safetensors; leave the file out, or choose llama.cpp.")
    weights = [path for path, _ in files if path.endswith(".safetensors") and "/" not in path]
    is_whole = bool(weights) and "config.json" in sizes
    wants_gguf = engine == LLAMA_CPP or (engine == "" and bool(ggufs) and (LLAMA_CPP in here or not is_whole))
    if wants_gguf:
        if not ggufs:
            why = _no_gguf(repo, is_whole=is_whole, has_transformers=TRANSFORMERS in here)
            raise NotServable(why, needs_gguf=is_whole)
        if LLAMA_CPP not in here:
            raise EngineMissing(LLAMA_CPP, _MEND_LLAMA)
        chosen = file or _best(ggufs, sizes)
        return Chosen(LLAMA_CPP, chosen, sum(sizes[path] for path in parts_of(chosen, sizes)))
    if not is_whole:
        raise NotServable(
            "it has neither a GGUF file nor safetensors with a config.json beside them at the top. "
            "Upload one of them, or convert what it has with a recipe of the kind `convert`."
        )
    if TRANSFORMERS not in here:
        if LLAMA_CPP in here and not engine:
            raise NotServable(_no_gguf(repo, is_whole=True, has_transformers=False), needs_gguf=True)
        raise EngineMissing(TRANSFORMERS, _MEND_TRANSFORMERS)
    return Chosen(TRANSFORMERS, None, sum(sizes[path] for path in weights))


_MEND_LLAMA = (
    "Build it with `headwater engine install llama.cpp`, or name the program llama-server in HEADWATER_LLAMA_SERVER."
)
_MEND_TRANSFORMERS = "Install it with `pip install 'headwater[serve]'`, or serve a GGUF file with llama.cpp."


def _no_gguf(repo: str, *, is_whole: bool, has_transformers: bool) -> str:
    text = "llama.cpp reads GGUF files, and this revision has none. "
    if is_whole:
        text += f"Convert it: submit a recipe of the kind `convert` whose input is models/{repo} and whose format is gguf, and serve its output"
        return text + (", or serve this revision with the engine transformers." if has_transformers else ".")
    return text + "Upload one."


def _best(ggufs: Sequence[str], sizes: dict[str, int]) -> str:
    def order(path: str) -> tuple[int, int, str]:
        for n, kind in enumerate(_LIKED):
            if re.search(rf"(?<![A-Z0-9]){re.escape(kind)}(?![A-Z0-9_])", path.upper()):
                return n, sizes[path], path
        return len(_LIKED), sizes[path], path

    part = [path for path in ggufs if (found := _PART.search(path)) is None or found[1] == "00001"]
    return min(part or ggufs, key=order)


def parts_of(file: str, paths: Sequence[str] | dict[str, int]) -> list[str]:
    """A GGUF file and, where it is the first of several parts, the others."""
    found = _PART.search(file)
    if found is None:
        return [file]
    stem = file[: found.start()]
    names = [f"{stem}-{n:05}-of-{found[2]}.gguf" for n in range(1, int(found[2]) + 1)]
    missing = [name for name in names if name not in paths]
    if missing:
        raise NotServable(f"parts of {file!r} are missing: {', '.join(missing[:5])}.")
    return names


def is_read_by_transformers(path: str) -> bool:
    """Whether that engine may need it: weights, settings and tokenizers of the top folder; never code, never pickles."""
    return "/" not in path and path.endswith(_READS)
