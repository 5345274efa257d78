"""A torch file rewritten as safetensors, in a child that has no network, no files and no torch.

The child gets the file to read and a file to write, both open, and an empty folder as its root. Where the system gives no user
namespaces nothing is converted: what reads strangers' pickles as pickles is not trusted to the limits alone.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from dataclasses import dataclass, replace
from typing import Any

from headwater.scanning import rules, safetensors
from headwater.scanning.apart import ChildFailed, ask_child
from headwater.scanning.confined import Limits
from headwater.scanning.judging import judge
from headwater.scanning.models import Verdict, printable
from headwater.scanning.reading import Bytes, Opened
from headwater.scanning.tensors import NotConvertible

LIMITS = Limits(memory_bytes=4 << 30, cpu_s=1800, time_s=3600)
_STEP_BYTES = 4 << 20
_MOST_TIMES = 2  # of the file's own size: tensors may share numbers, and are written apart
_SPARE_BYTES = 16 << 20
NO_NAMESPACES = (
    "This system lets no process have a user and network namespace of its own, so nothing is converted here."
)


@dataclass(frozen=True)
class Converted:
    n_tensors: int
    size_bytes: int
    left_out: tuple[str, ...]  # what was no tensor, the first ones


def convert(path: str, source: Bytes, target: int, *, limits: Limits = LIMITS) -> Converted:
    """Write what the torch file holds to the open file ``target``, as safetensors.

    Raises:
        NotConvertible: with the reason; ``target`` is of no use then.
    """
    judged = judge(path, source)
    if judged.verdict is not Verdict.CLEAN:
        raise NotConvertible("Only files in which nothing was found are converted.")
    written = _MOST_TIMES * source.size_bytes + _SPARE_BYTES
    with tempfile.TemporaryDirectory(prefix="headwater-convert-") as empty:
        os.chmod(empty, 0o755)  # noqa: PTH101, S103  # the child is nobody
        root = os.open(empty, os.O_PATH | os.O_DIRECTORY)
        try:
            told = ask_child("convert", path, source, replace(limits, written_bytes=written), target=target, root=root)
        except ChildFailed as failed:
            raise NotConvertible(f"The conversion did not end well: {failed.why}.") from failed
        finally:
            os.close(root)
    if not isinstance(told, dict) or "n_tensors" not in told:
        why = told.get("why") if isinstance(told, dict) else None
        raise NotConvertible(printable(str(why or "The conversion said nothing."), 500))
    size = os.fstat(target).st_size
    if safetensors.judge(Opened(target, size)).findings:
        raise NotConvertible(f"What was written is no sound file ({rules.WEIGHTS_HEAD.id}).")
    left_out = tuple(printable(str(name)) for name in list(told["left_out"])[:20])
    return Converted(int(told["n_tensors"]), size, left_out)


def write(source: Bytes, target: int) -> dict[str, Any]:
    """In the child."""
    from headwater.scanning.second import _File
    from headwater.scanning.tensors import iter_bytes, read_torch

    try:
        found = read_torch(_File(source), source.size_bytes)
        # Wide ones first, as safetensors' own writer has it, so that each lies where its width divides.
        names = sorted(found.tensors, key=lambda name: (-found.tensors[name].storage.width, name))
        head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        at = 0
        for name in names:
            tensor = found.tensors[name]
            head[name] = {
                "dtype": tensor.storage.dtype,
                "shape": list(tensor.shape),
                "data_offsets": [at, at + tensor.n_bytes],
            }
            at += tensor.n_bytes
        raw = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8)
        if at > _MOST_TIMES * source.size_bytes:
            raise NotConvertible("Its tensors share so many numbers that they would take far more room apart.")
        with os.fdopen(target, "wb", closefd=False) as out:
            out.write(struct.pack("<Q", len(raw)) + raw)
            for name in names:
                tensor = found.tensors[name]
                for part in iter_bytes(tensor, found.places[tensor.storage.key], source.read_at, _STEP_BYTES):
                    out.write(part)
    except NotConvertible as exc:
        return {"why": str(exc)}
    except (MemoryError, OSError) as exc:
        return {"why": f"It is too large to be converted here ({type(exc).__name__})."}
    return {"n_tensors": len(names), "left_out": found.left_out[:20]}
