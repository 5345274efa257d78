"""The tensors of a torch file, read without torch: which there are, and where in the file their numbers lie.

Runs in a confined child only, on files that were judged clean. Names that the pickle imports become plain stand-ins of ours; nothing
else can be named. Formats: torch/serialization.py of PyTorch (``_save``, ``_legacy_save``), the arguments of torch/_utils.py.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from headwater.scanning.allowed_imports import is_allowed

MAX_TENSORS = 100_000
_MAX_DIMENSIONS = 64
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# By the name of torch's storage class: safetensors' name of the type, and bytes of a value.
_STORAGES = {
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1), "ComplexFloatStorage": ("C64", 8),
}  # fmt: skip
_INSIDE = ("state_dict", "model_state_dict", "model", "module", "params_ema", "params")


class NotConvertible(Exception):
    """Why this file cannot be rewritten, in words for whoever asked."""


@dataclass(frozen=True)
class Storage:
    dtype: str
    width: int
    key: str
    n_values: int
    begin: int = 0  # of a view of another storage, in values


@dataclass(frozen=True)
class TorchTensor:
    storage: Storage
    offset: int  # in values, like the strides
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def n_values(self) -> int:
        count = 1
        for n in self.shape:
            count *= n
        return count

    @property
    def n_bytes(self) -> int:
        return self.n_values * self.storage.width

    @property
    def is_contiguous(self) -> bool:
        step = 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != step:
                return self.n_values == 0
            step *= n
        return True

    @property
    def end(self) -> int:
        """Behind the last value that it reads, in values of its storage."""
        if not self.n_values:
            return self.offset
        return self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)) + 1


@dataclass(frozen=True)
class TorchFile:
    """``places`` gives where each storage begins in the file, and how many bytes it has. ``left_out`` are names of what is no tensor."""

    tensors: dict[str, TorchTensor]
    places: dict[str, tuple[int, int]]
    left_out: list[str]


class _Opaque:
    """Whatever else a pickle may name: it takes everything, and is nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, value: Any) -> None: ...
    def extend(self, values: Any) -> None: ...
    def add(self, value: Any) -> None: ...


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> TorchTensor:
    if not isinstance(storage, Storage):
        raise NotConvertible("A tensor's numbers are not where torch keeps them.")
    numbers = (offset, *shape, *strides)
    is_sound = (
        len(shape) == len(strides) <= _MAX_DIMENSIONS
        and all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
    )  # fmt: skip
    tensor = TorchTensor(storage, storage.begin + offset, tuple(shape), tuple(strides)) if is_sound else None
    if tensor is None or tensor.n_values >= 1 << 48 or tensor.end > storage.n_values:
        raise NotConvertible("A tensor reaches beyond its numbers.")
    return tensor


def _same(value: Any, *_: Any) -> Any:
    return value


def _rebuild_from_type(rebuild: Any, _kind: Any, args: Any, _state: Any) -> Any:
    if rebuild not in (_rebuild, _same):
        raise NotConvertible("A tensor is of a kind that safetensors does not have.")
    return rebuild(*args)


_STAND_INS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _same,
    ("torch._utils", "_rebuild_parameter_with_state"): _same,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
}


class _Reader(pickle.Unpickler):
    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if not is_allowed(module, name):
            raise NotConvertible(f"It imports {module}.{name}, which is on no list of harmless names.")
        if module == "torch" and name.endswith("Storage"):
            return _STORAGES.get(name, name)
        if module == "torch._utils" and (module, name) not in _STAND_INS:
            raise NotConvertible(f"It holds a tensor that is made by {name}, which safetensors cannot say.")
        return _STAND_INS.get((module, name), _Opaque)

    def persistent_load(self, told: Any) -> Any:
        match told:
            case ("storage", kind, str(key), _, int(n_values), *rest) if 0 <= n_values < 1 << 48:
                if not isinstance(kind, tuple):
                    raise NotConvertible(f"It holds numbers of {kind}, which safetensors does not have.")
                whole = Storage(kind[0], kind[1], key, n_values)
                before = self.storages.setdefault(key, whole)
                if (before.dtype, before.n_values) != (whole.dtype, whole.n_values):
                    raise NotConvertible("Two tensors disagree about their numbers.")
                match rest[0] if rest else None:
                    case None:
                        return whole
                    case (_, int(begin), int(count)) if begin >= 0 and count >= 0 and begin + count <= n_values:
                        return Storage(kind[0], kind[1], key, begin + count, begin)
            case _:
                pass
        raise NotConvertible("It keeps something elsewhere that is no storage of torch's.")


def read_torch(stream: io.BufferedReader, size_bytes: int) -> TorchFile:
    """
    Raises:
        NotConvertible
    """
    try:
        head = stream.peek(4)[:4]
        value, storages, places = _read_zip(stream) if head == b"PK\3\4" else _read_legacy(stream)
    except NotConvertible:
        raise
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OSError,
        RecursionError,
    ) as exc:
        raise NotConvertible(f"It cannot be read as torch writes files ({type(exc).__name__}).") from exc
    for key, storage in storages.items():
        begin, count = places.get(key, (0, -1))
        if begin < 0 or count < storage.n_values * storage.width or begin + count > size_bytes:
            raise NotConvertible(f"The numbers {key!r} are not whole.")
    tensors, left_out = _state_of(value)
    return TorchFile(tensors, places, left_out)


def _read_zip(stream: io.BufferedReader) -> tuple[Any, dict[str, Storage], dict[str, tuple[int, int]]]:
    with zipfile.ZipFile(stream) as archive:
        names = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise NotConvertible("It holds no data.pkl, or several: it is no file of torch.save.")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise NotConvertible("Its numbers are big-endian.")
        if f"{root}constants.pkl" in names:
            raise NotConvertible("It is a TorchScript program, not weights alone.")
        with archive.open(pickles[0]) as data:
            reader = _Reader(io.BytesIO(data.read()))
            value = reader.load()
        places: dict[str, tuple[int, int]] = {}
        for key in reader.storages:
            info = names.get(f"{root}data/{key}")
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise NotConvertible(f"The numbers {key!r} are missing, or compressed.")
            stream.seek(info.header_offset)
            local = stream.read(30)
            begin = (
                info.header_offset
                + 30
                + int.from_bytes(local[26:28], "little")
                + int.from_bytes(local[28:30], "little")
            )
            places[key] = begin, info.file_size
    return value, reader.storages, places


def _read_legacy(stream: io.BufferedReader) -> tuple[Any, dict[str, Storage], dict[str, tuple[int, int]]]:
    def load() -> Any:
        return _Reader(stream).load()

    if load() != _LEGACY_MAGIC or load() != 1001:
        raise NotConvertible("It is a plain pickle, not a file of torch.save.")
    about = load()
    if isinstance(about, dict) and about.get("little_endian") is not True:
        raise NotConvertible("Its numbers are big-endian.")
    reader = _Reader(stream)
    value = reader.load()
    places: dict[str, tuple[int, int]] = {}
    for key in load():
        n_values = int.from_bytes(stream.read(8), "little")
        storage = reader.storages[key]
        if n_values != storage.n_values:
            raise NotConvertible(f"The numbers {key!r} are not whole.")
        places[key] = stream.tell(), n_values * storage.width
        stream.seek(n_values * storage.width, io.SEEK_CUR)
    return value, reader.storages, places


def _state_of(value: Any) -> tuple[dict[str, TorchTensor], list[str]]:
    """The tensors by name: of the dictionary itself, or of the one in it that holds the model."""
    if isinstance(value, TorchTensor):
        return {"tensor": value}, []
    if not isinstance(value, dict):
        raise NotConvertible("It holds no dictionary of tensors.")
    outer: list[str] = []
    if not any(isinstance(each, TorchTensor) for each in value.values()):
        inner = next((key for key in _INSIDE if isinstance(value.get(key), dict)), None)
        if inner is None:
            raise NotConvertible("It holds no dictionary of tensors.")
        outer = [str(key) for key in value if key != inner]
        value = value[inner]
    tensors = {key: each for key, each in value.items() if isinstance(each, TorchTensor) and isinstance(key, str)}
    if not tensors or len(tensors) > MAX_TENSORS or "__metadata__" in tensors:
        raise NotConvertible("It holds no tensors with names, or too many.")
    return tensors, outer + [str(key) for key in value if key not in tensors]


def iter_bytes(
    tensor: TorchTensor, place: tuple[int, int], read_at: Callable[[int, int], bytes], step: int
) -> Iterator[bytes]:
    """The numbers of a tensor, row by row."""
    width = tensor.storage.width
    begin = place[0] + tensor.offset * width
    if not tensor.n_values:
        return
    if tensor.is_contiguous:
        for at in range(0, tensor.n_bytes, step):
            yield read_at(begin + at, min(step, tensor.n_bytes - at))
        return
    import numpy as np

    kind = {1: "u1", 2: "<u2", 4: "<u4", 8: "<u8"}[width]
    values = np.frombuffer(read_at(begin, (tensor.end - tensor.offset) * width), kind)
    view = np.lib.stride_tricks.as_strided(
        values, tensor.shape, [stride * width for stride in tensor.strides], writeable=False
    )
    for row in view if len(tensor.shape) > 1 else [view]:
        yield np.ascontiguousarray(row).tobytes()
