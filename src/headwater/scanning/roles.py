"""What a name makes of a file: the role that decides which judges look at its bytes, beside the bytes themselves.

Two paths of one role and the same bytes get the same judgement, so a verdict can be kept under (content, role).
"""

from __future__ import annotations

import re
import unicodedata

MAX_LAYERS = 4  # compressions told by the end of one name
DECEPTIVE = "!"  # the mark of a role whose name would be read as another
UNPACKED = "+"  # one for each compression that the name tells of

_TORCH = (".pt", ".pt2", ".ckpt", ".pdparams", ".pdopt", ".pdiparams")
_PICKLES = (
    ".pkl",
    ".pickle",
    ".pk",
    ".joblib",
    ".dill",
    ".cloudpickle",
)
_PERHAPS_PICKLES = (".bin", ".dat", ".data", ".model", ".mdl", ".params", ".weights", ".states", ".p", ".sav")
_ARCHIVES = (".zip", ".npz", ".whl", ".egg", ".jar", ".pyz")
_TARS = (".tar", ".nemo", ".mar")
_CLOSED = (".7z", ".rar")
_SQUEEZED = (".gz", ".bz2", ".xz", ".z", ".lzma", ".gzip", ".zlib", ".lz4", ".zst", ".br")
_ENDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("torch", _TORCH),  # as pickle, and in torch's old format raw tensors may follow
    ("pickle", _PICKLES),
    ("pickle?", _PERHAPS_PICKLES),
    ("pickle or paths", (".pth",)),
    ("zip", _ARCHIVES),
    ("keras", (".keras",)),
    ("tar", _TARS),
    ("tar+", (".tgz", ".tbz2", ".txz")),
    ("closed", _CLOSED),
    ("safetensors", (".safetensors",)),
    ("gguf", (".gguf",)),
    ("onnx", (".onnx",)),
    ("parquet", (".parquet",)),
    ("npy", (".npy",)),
    ("arrow", (".arrow", ".feather", ".ipc")),
    ("template", (".jinja", ".jinja2", ".j2")),
    ("hdf5", (".h5", ".hdf5")),
    ("notebook", (".ipynb",)),
    ("html", (".html", ".htm", ".xhtml", ".mhtml", ".xht")),
    ("svg", (".svg", ".svgz")),
    ("table", (".csv", ".tsv")),
)
_ROLE_OF_END = {end: role for role, ends in _ENDS for end in ends}  # each has one dot, before all else
_CONFIGS = frozenset(
    {
        "config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json", "generation_config.json",
        "model_index.json", "adapter_config.json", "chat_template.json", "feature_extractor_config.json", "image_processor_config.json",
        "video_preprocessor_config.json", "configuration.json",
    }
)  # fmt: skip
_RESULTS = re.compile(r"(?:.*[._-])?(?:results?|scores)(?:[._-].*)?\.json")
_REVERSING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def role_of(path: str) -> str:
    """The class of names by which the same bytes are judged alike; most text has the role ``text``."""
    name = path.rsplit("/", 1)[-1]
    role = _of_name(_as_written(name.lower()), MAX_LAYERS)
    return f"{role}{DECEPTIVE}" if _is_deceptive(name) else role


def _as_written(name: str) -> str:
    """The name by which Windows writes it: without spaces and dots at its end, and the name of a file's own stream."""
    return name.rstrip(" .").removesuffix("::$data").rstrip(" .") if name[-1:] in " .a" else name


def _of_name(name: str, layers: int) -> str:
    if name in _CONFIGS:
        return "config"
    if name == "readme.md":
        return "card"
    if name.endswith(".json") and _RESULTS.fullmatch(name):
        return "results"
    _, dot, end = name.rpartition(".")
    role = _ROLE_OF_END.get(dot + end)
    if role is not None:
        return role
    if layers and name.endswith(_SQUEEZED):
        return _of_name(name.rpartition(".")[0], layers - 1) + UNPACKED
    return "text"


def _is_deceptive(name: str) -> bool:
    """Whether a reader sees another name than a program does: turned around, or with letters that are not seen."""
    if name.isascii():
        return False
    return any(
        c in _REVERSING or (unicodedata.category(c) in ("Cf", "Cc", "Co") and c not in "\u200c\u200d") for c in name
    )
