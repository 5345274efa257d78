"""What the head of a weights file tells: tensors, shapes, dtypes, parameter count, chat template.

Only the header is read, in bounded windows, and nothing in it is believed further than its own length: a hostile file gives
``BadHeader``, never much memory. Parsed headers of large files are kept by digest, since bytes under a digest never change.

Sources: safetensors format (https://github.com/huggingface/safetensors#format); GGUF
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.blobs import ByteSource, read_all
from headwater.kernel import HeadwaterError, Kind

MAX_SAFETENSORS_BYTES = 32 << 20
MAX_GGUF_BYTES = 96 << 20
MAX_TENSORS = 100_000
MAX_TEXT_BYTES = 1 << 20
MAX_KEYS = 100_000
SHOWN_ITEMS = 16
WINDOW_BYTES = 1 << 20

_SAFETENSORS_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_GGML_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
_GGUF_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_GGUF_STRING, _GGUF_ARRAY = 8, 9


class BadHeader(HeadwaterError):
    code = "bad_header"
    kind = Kind.UNPROCESSABLE

    def __init__(self, why: str) -> None:
        super().__init__(f"The head of the weights file cannot be read: {why}.")


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int | None = None

    @property
    def n_parameters(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class WeightsHeader:
    """``metadata`` keeps long lists as ``{"items": first few, "count": n}``."""

    format: str  # "safetensors" | "gguf"
    tensors: Sequence[Tensor]
    metadata: Mapping[str, Any]

    @property
    def n_parameters(self) -> int:
        return sum(tensor.n_parameters for tensor in self.tensors)

    @property
    def parameters_by_dtype(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            counts[tensor.dtype] += tensor.n_parameters
        return dict(counts.most_common())

    @property
    def chat_template(self) -> str | None:
        return _text(self.metadata.get("tokenizer.chat_template"))

    @property
    def architecture(self) -> str | None:
        return _text(self.metadata.get("general.architecture"))

    @property
    def context_length(self) -> int | None:
        found = self.metadata.get(f"{self.architecture}.context_length")
        return found if isinstance(found, int) else None

    def to_json(self) -> dict[str, Any]:
        """JSON-able; ``from_json`` gives an equal header back."""
        return {
            "format": self.format,
            "tensors": [[t.name, t.dtype, list(t.shape), t.size_bytes] for t in self.tensors],
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WeightsHeader:
        tensors = [Tensor(name, dtype, tuple(shape), size) for name, dtype, shape, size in value["tensors"]]
        return cls(value["format"], tensors, value["metadata"])


def is_weights(path: str) -> bool:
    """Whether a file of this name may have a header that ``parse_header`` understands."""
    return path.lower().endswith((".safetensors", ".gguf"))


def parse_header(source: ByteSource, path: str) -> WeightsHeader:
    """The header of a ``.safetensors`` or ``.gguf`` file.

    Raises:
        BadHeader: it is broken, or larger than we read.
    """
    return parse_gguf(source) if path.lower().endswith(".gguf") else parse_safetensors(source)


def safetensors_json(source: ByteSource) -> dict[str, Any]:
    """The JSON header as it stands in the file.

    Raises:
        BadHeader.
    """
    if source.size_bytes < 8:
        raise BadHeader("it is shorter than 8 bytes")
    size = int.from_bytes(read_all(source, 0, 8), "little")
    if size > MAX_SAFETENSORS_BYTES:
        raise BadHeader(f"it claims a header of {size} bytes")
    if 8 + size > source.size_bytes:
        raise BadHeader("it ends inside the header")
    try:
        header = orjson.loads(read_all(source, 8, 8 + size, limit_bytes=MAX_SAFETENSORS_BYTES))
    except orjson.JSONDecodeError as exc:
        raise BadHeader("the header is not JSON") from exc
    if not isinstance(header, dict):
        raise BadHeader("the header is not a JSON object")
    return header


def parse_safetensors(source: ByteSource) -> WeightsHeader:
    """Raises: BadHeader."""
    header = safetensors_json(source)
    metadata = header.pop("__metadata__", {})
    if len(header) > MAX_TENSORS:
        raise BadHeader(f"it lists more than {MAX_TENSORS} tensors")
    tensors: list[Tensor] = []
    for name, facts in header.items():
        if not isinstance(facts, dict):
            raise BadHeader(f"tensor {name[:100]!r} is not an object")
        dtype, shape, offsets = facts.get("dtype"), facts.get("shape"), facts.get("data_offsets")
        if not isinstance(dtype, str) or not _is_counts(shape) or not _is_counts(offsets) or len(offsets) != 2:
            raise BadHeader(f"tensor {name[:100]!r} lacks a dtype, shape or offsets")
        size = offsets[1] - offsets[0]
        bits = _SAFETENSORS_BITS.get(dtype)
        if size < 0 or (bits is not None and math.prod(shape) * bits != size * 8):
            raise BadHeader(f"tensor {name[:100]!r} has another size than its shape gives")
        tensors.append(Tensor(name, dtype, tuple(shape), size))
    kept = (
        {k: v[:MAX_TEXT_BYTES] for k, v in metadata.items() if isinstance(v, str)} if isinstance(metadata, dict) else {}
    )
    return WeightsHeader("safetensors", tensors, kept)


def parse_gguf(source: ByteSource) -> WeightsHeader:
    """Raises: BadHeader."""
    window = _Window(source, MAX_GGUF_BYTES)
    if window.take(4) != b"GGUF":
        raise BadHeader("it does not begin with GGUF")
    version = window.number("<I")
    if version not in (2, 3):
        raise BadHeader(f"GGUF version {version} is not known")
    n_tensors, n_keys = window.number("<Q"), window.number("<Q")
    if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS:
        raise BadHeader(f"it lists {n_tensors} tensors and {n_keys} keys")
    metadata: dict[str, Any] = {}
    for _ in range(n_keys):
        key = window.text()
        metadata[key] = window.value(window.number("<I"), depth=0)
    tensors: list[Tensor] = []
    for _ in range(n_tensors):
        name, n_dims = window.text(), window.number("<I")
        if n_dims > 8:
            raise BadHeader(f"tensor {name[:100]!r} has {n_dims} dimensions")
        shape = tuple(window.number("<Q") for _ in range(n_dims))
        kind = window.number("<I")
        window.number("<Q")  # where its data begins
        tensors.append(Tensor(name, _GGML_TYPES.get(kind, f"type {kind}"), shape))
    return WeightsHeader("gguf", tensors, metadata)


class _Window:
    """Reads a source forwards, a window at a time, up to a bound."""

    def __init__(self, source: ByteSource, limit_bytes: int) -> None:
        self._source = source
        self._limit = min(limit_bytes, source.size_bytes)
        self._data = b""
        self._start = 0  # of the window in the source
        self._at = 0  # in the window

    def take(self, n: int) -> bytes:
        if self._at + n > len(self._data):
            self._start += self._at
            end = min(self._start + max(n, WINDOW_BYTES), self._limit)
            if self._start + n > end:
                raise BadHeader("it ends inside the header, or the header is larger than we read")
            self._data, self._at = read_all(self._source, self._start, end, limit_bytes=self._limit), 0
        found = self._data[self._at : self._at + n]
        self._at += n
        return found

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self) -> str:
        n = self.number("<Q")
        if n > MAX_TEXT_BYTES:
            raise BadHeader(f"a text in it has {n} bytes")
        return self.take(n).decode("utf-8", "replace")

    def value(self, kind: int, *, depth: int) -> Any:
        if kind in _GGUF_SCALARS:
            found = self.number(_GGUF_SCALARS[kind])
            return found if not isinstance(found, float) or math.isfinite(found) else str(found)
        if kind == _GGUF_STRING:
            return self.text()
        if kind != _GGUF_ARRAY or depth > 3:
            raise BadHeader(f"a value of type {kind} is not known")
        item_kind, count = self.number("<I"), self.number("<Q")
        if count > self._limit:
            raise BadHeader(f"a list claims {count} items")
        items = [self.value(item_kind, depth=depth + 1) for _ in range(min(count, SHOWN_ITEMS))]
        self._skip(item_kind, count - len(items), depth + 1)
        return items if count <= SHOWN_ITEMS else {"items": items, "count": count}

    def _skip(self, kind: int, count: int, depth: int) -> None:
        if kind in _GGUF_SCALARS:
            left = struct.calcsize(_GGUF_SCALARS[kind]) * count
            while left:
                left -= len(self.take(min(left, WINDOW_BYTES)))
            return
        for _ in range(count):
            if kind == _GGUF_STRING:
                n = self.number("<Q")
                if n > MAX_TEXT_BYTES:
                    raise BadHeader(f"a text in it has {n} bytes")
                self.take(n)
            else:
                self.value(kind, depth=depth)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(type(n) is int and n >= 0 for n in value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
