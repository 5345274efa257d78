"""A program of its own, started by ``tables``: the first rows of a Parquet file as JSON.

Reads one JSON object from its input, writes one to its output. Bounds its own memory and processor time before it opens the file.
"""

from __future__ import annotations

import bisect
import io
import os
import resource
import sys
from typing import Any

import orjson

MEMORY_BYTES = 4 << 30  # address space: the reader reserves far more than it uses
CPU_S = 10
MAX_CELL_CHARS = 600


class Pieces(io.RawIOBase):
    """A file made of runs of other files, as the hub keeps it."""

    def __init__(self, size: int, extents: list[Any]) -> None:
        self._size = size
        self._extents = [bytes.fromhex(e) if isinstance(e, str) else e for e in extents]
        self._starts: list[int] = []
        start = 0
        for extent in self._extents:
            self._starts.append(start)
            start += len(extent) if isinstance(extent, bytes) else extent[2]
        self._at = 0
        self._open: tuple[str, int] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._at < self._size:
            number = bisect.bisect_right(self._starts, self._at) - 1
            extent, inside = self._extents[number], self._at - self._starts[number]
            if isinstance(extent, bytes):
                data = extent[inside : inside + len(view) - done]
            else:
                path, offset, count = extent
                data = os.pread(self._descriptor(path), min(count - inside, len(view) - done), offset + inside)
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
            self._at += len(data)
        return done

    def _descriptor(self, path: str) -> int:
        if self._open is None or self._open[0] != path:
            if self._open is not None:
                os.close(self._open[1])
            self._open = (path, os.open(path, os.O_RDONLY))
        return self._open[1]


def main() -> None:
    asked = orjson.loads(sys.stdin.buffer.read())
    try:
        import pyarrow  # noqa: ICN001 - the whole name says more
        from pyarrow import parquet
    except ImportError:
        answer({"error": "this server lacks pyarrow; its operator can install headwater[viewer]"})
        return
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    try:
        answer(first_rows(pyarrow, parquet, asked))
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as exc:
        answer({"error": f"it is no readable Parquet file ({type(exc).__name__})"})


def first_rows(pyarrow: Any, parquet: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """At most ``rows`` rows and ``columns`` columns, cells as JSON values or texts."""
    file = parquet.ParquetFile(pyarrow.PythonFile(Pieces(asked["size"], asked["extents"]), mode="r"))
    schema = file.schema_arrow
    names = schema.names[: asked["columns"]]
    rows: list[list[Any]] = []
    for batch in file.iter_batches(batch_size=asked["rows"], columns=names, use_threads=False):
        columns = [
            [shown(value.as_py()) for value in column.slice(0, asked["rows"] - len(rows))] for column in batch.columns
        ]
        rows += [list(row) for row in zip(*columns, strict=True)]
        if len(rows) >= asked["rows"]:
            break
    n_rows = file.metadata.num_rows
    return {
        "columns": names,
        "types": [str(schema.field(i).type)[:80] for i in range(len(names))],
        "rows": rows,
        "n_rows": n_rows,
        "truncated": n_rows > len(rows) or len(schema.names) > len(names),
    }


def shown(value: Any) -> Any:
    """A cell small enough to send on; bytes only by their length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    text = (
        value
        if isinstance(value, str)
        else orjson.dumps(_plain(value), default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    )
    return text[:MAX_CELL_CHARS]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in list(value.items())[:50]}
    if isinstance(value, list):
        return [_plain(inner) for inner in value[:50]]
    if isinstance(value, str):
        return value[:MAX_CELL_CHARS]
    return value


def answer(found: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(found, default=str))


if __name__ == "__main__":
    main()
