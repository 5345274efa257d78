"""Heads of weight files, read with bounds: safetensors and GGUF. Only the head is read, never the tensors.

Formats: https://huggingface.co/docs/safetensors and the GGUF specification (ggml, docs/gguf.md), version 2 and 3.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import orjson

from headwater.blobs import ByteSource, read_all
from headwater.kernel import HeadwaterError, Kind

MAX_SAFETENSORS_HEAD = 100 << 20
MAX_GGUF_HEAD = 64 << 20
MAX_TENSORS = 200_000
MAX_KEYS = 10_000
_KEPT_TEXT = 64 << 10
_KEPT_ITEMS = 32


class BadWeights(HeadwaterError):
    code = "bad_weights"
    kind = Kind.UNPROCESSABLE

    def __init__(self, why: str) -> None:
        super().__init__(f"The head of this file cannot be read: {why}.")


@dataclass(frozen=True)
class Tensor:
    """``n_bytes`` is None where the format does not tell it outright."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_bytes: int | None = None

    @property
    def n_parameters(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class WeightsHead:
    """``metadata`` has long arrays cut; ``cut`` names their keys with the length they have."""

    format: str
    tensors: Sequence[Tensor]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cut: Mapping[str, int] = field(default_factory=dict)

    def parameters_by_dtype(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for tensor in self.tensors:
            found[tensor.dtype] = found.get(tensor.dtype, 0) + tensor.n_parameters
        return found

    @cached_property
    def n_parameters(self) -> int:
        return sum(tensor.n_parameters for tensor in self.tensors)

    @property
    def chat_template(self) -> str | None:
        found = self.metadata.get("tokenizer.chat_template")
        return found if isinstance(found, str) else None

    def summary(self) -> dict[str, Any]:
        """As the protocol shows a GGUF file: ``{total, architecture, context_length, chat_template, …}``."""
        architecture = self.metadata.get("general.architecture")
        shown: dict[str, Any] = {"total": self.n_parameters, "architecture": architecture}
        for key, source in (
            ("context_length", f"{architecture}.context_length"),
            ("chat_template", "tokenizer.chat_template"),
            ("bos_token", None),
            ("eos_token", None),
        ):
            value = self.metadata.get(source) if source else self._token(key)
            if isinstance(value, str | int):
                shown[key] = value
        return shown

    def _token(self, key: str) -> str | None:
        index = self.metadata.get(f"tokenizer.ggml.{key}_id")
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        if isinstance(index, int) and isinstance(tokens, list) and 0 <= index < len(tokens):
            return str(tokens[index])
        return None


def safetensors_header(source: ByteSource) -> WeightsHead:
    """Tensors and ``__metadata__`` of a safetensors file.

    Raises:
        BadWeights: it is none, or its head breaks a bound.
    """
    if source.size_bytes < 10:
        raise BadWeights("it is too short")
    (length,) = struct.unpack("<Q", read_all(source, 0, 8))
    if length > min(MAX_SAFETENSORS_HEAD, source.size_bytes - 8):
        raise BadWeights("its head is longer than the file, or than is allowed")
    try:
        head = orjson.loads(read_all(source, 8, 8 + length, limit_bytes=MAX_SAFETENSORS_HEAD))
    except orjson.JSONDecodeError as exc:
        raise BadWeights("its head is no JSON") from exc
    if not isinstance(head, dict) or len(head) > MAX_TENSORS:
        raise BadWeights("its head is no list of tensors")
    metadata = head.pop("__metadata__", {})
    data_bytes = source.size_bytes - 8 - length
    tensors = [_safetensor(name, described, data_bytes) for name, described in head.items()]
    kept = {str(k): v for k, v in metadata.items() if isinstance(v, str)} if isinstance(metadata, dict) else {}
    return WeightsHead("safetensors", tensors, kept)


def _safetensor(name: str, described: Any, data_bytes: int) -> Tensor:
    try:
        dtype, shape, (start, end) = described["dtype"], described["shape"], described["data_offsets"]
    except (TypeError, KeyError, ValueError) as exc:
        raise BadWeights(f"tensor {name[:80]!r} lacks dtype, shape or offsets") from exc
    numbers = [*shape, start, end] if isinstance(shape, list) else [None]
    if not isinstance(dtype, str) or not all(isinstance(n, int) and 0 <= n < 1 << 62 for n in numbers):
        raise BadWeights(f"tensor {name[:80]!r} has a dtype, shape or offset of a wrong type")
    if not start <= end <= data_bytes:
        raise BadWeights(f"tensor {name[:80]!r} lies outside of the file")
    return Tensor(name, dtype[:16], tuple(shape), end - start)


# ggml_type, by number; block formats keep their name.
_GGML_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9


def gguf_header(source: ByteSource) -> WeightsHead:
    """Keys and tensors of a GGUF file.

    Raises:
        BadWeights: it is none, or its head breaks a bound.
    """
    reader = _Reader(source)
    if reader.take(4) != b"GGUF":
        raise BadWeights("it does not begin with GGUF")
    version = reader.number("<I")
    if version not in (2, 3):
        raise BadWeights(f"version {version} is not known")
    n_tensors, n_keys = reader.number("<Q"), reader.number("<Q")
    if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS:
        raise BadWeights("it claims too many keys or tensors")
    metadata: dict[str, Any] = {}
    cut: dict[str, int] = {}
    for _ in range(n_keys):
        key = reader.text()
        value, length = reader.value(reader.number("<I"))
        metadata[key] = value
        if isinstance(value, list) and length > len(value):
            cut[key] = length
    tensors = []
    for _ in range(n_tensors):
        name = reader.text()
        n_dimensions = reader.number("<I")
        if n_dimensions > 8:
            raise BadWeights(f"tensor {name[:80]!r} has {n_dimensions} dimensions")
        shape = tuple(reader.number("<Q") for _ in range(n_dimensions))
        if any(n >= 1 << 40 for n in shape):
            raise BadWeights(f"tensor {name[:80]!r} has an impossible shape")
        kind = reader.number("<I")
        reader.number("<Q")  # offset
        # GGUF writes the fastest dimension first; shown as every other format shows it.
        tensors.append(Tensor(name, _GGML_TYPES.get(kind, f"type {kind}"), shape[::-1]))
    return WeightsHead("gguf", tensors, metadata, cut)


class _Reader:
    """Sequential reads of the head, in steps of 1 MiB, never more than its bound."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._limit = min(source.size_bytes, MAX_GGUF_HEAD)
        self._buffer = b""
        self._start = 0  # of the buffer within the file
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if count < 0 or end > self._limit:
            raise BadWeights("it ends too early, or its head is too long")
        if end > self._start + len(self._buffer):
            self._buffer = read_all(
                self._source, self._at, max(end, min(self._at + (1 << 20), self._limit)), limit_bytes=MAX_GGUF_HEAD
            )
            self._start = self._at
        found = self._buffer[self._at - self._start : end - self._start]
        self._at = end
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        return self.take(self.number("<Q"))[:_KEPT_TEXT].decode("utf-8", errors="replace")

    def value(self, kind: int, depth: int = 0) -> tuple[Any, int]:
        """A value, and the length it had; of arrays only the first items are kept (all of a tokenizer's words are skipped over)."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind]), 1
        if kind == _TEXT:
            return self.text(), 1
        if kind != _ARRAY or depth > 3:
            raise BadWeights(f"value type {kind} is not known")
        item_kind, length = self.number("<I"), self.number("<Q")
        if length > MAX_GGUF_HEAD:
            raise BadWeights("an array is too long")
        if item_kind in _SCALARS:
            width = struct.calcsize(_SCALARS[item_kind])
            data = self.take(length * width)
            kept = [
                struct.unpack_from(_SCALARS[item_kind], data, i * width)[0] for i in range(min(length, _KEPT_ITEMS))
            ]
            return kept, length
        items = []
        for i in range(length):
            item, _ = self.value(item_kind, depth + 1)
            if i < _KEPT_ITEMS:
                items.append(item)
        return items, length
