"""First rows of tables: CSV, JSON lines, Parquet. What is read, kept and waited for is bounded."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from headwater.blobs import ByteSource, feed, read_all
from headwater.kernel import HeadwaterError, Kind

MAX_ROWS = 100
MAX_COLUMNS = 200
MAX_CELL_CHARS = 500
READ_BYTES = 512 << 10
MAX_JSON_BYTES = 4 << 20
PARQUET_TIMEOUT_S = 15.0
MAX_EXTENTS = 200_000
FOOT_BYTES, MAX_FOOT_BYTES, FIRST_BYTES = 64 << 10, 16 << 20, 32 << 20  # of Parquet files that lie in a store

_DELIMITERS = ",\t;|"
# Started by its path, so that it imports next to nothing of ours.
_PARQUET_PROGRAM = Path(__file__).with_name("parquet_rows.py")
_CSV, _LINES, _PARQUET = (".csv", ".tsv", ".tab"), (".jsonl", ".ndjson"), (".parquet",)


class CannotPreview(HeadwaterError):
    """``why`` is for people: what is wrong with the file, or what is not installed here."""

    code = "cannot_preview"
    kind = Kind.UNPROCESSABLE

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"The first rows cannot be shown: {why}.")


@dataclass(frozen=True)
class Table:
    """Every cell is text, at most ``MAX_CELL_CHARS`` long. ``truncated``: there are more rows or columns than these.

    ``types`` are the columns' own where the format tells them, else empty; ``n_rows`` is the whole count where it is known.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    truncated: bool
    types: Sequence[str] = ()
    n_rows: int | None = None


def is_table(filename: str) -> bool:
    """Whether ``table`` would try this file."""
    return filename.lower().endswith((*_CSV, *_LINES, *_PARQUET, ".json"))


def table(source: ByteSource, filename: str) -> Table:
    """The first rows, chosen by the file's name.

    Raises:
        CannotPreview: it is not of that kind, breaks a bound, or needs what is not installed.
    """
    name = filename.lower()
    if name.endswith(_PARQUET):
        return _parquet(source)
    is_whole = source.size_bytes <= READ_BYTES
    if name.endswith(".json"):
        return _json(source)
    text = _decoded(read_all(source, 0, READ_BYTES), is_whole=is_whole)
    if name.endswith(_LINES):
        return _json_lines(text, is_whole=is_whole)
    if name.endswith(_CSV):
        return _csv(text, is_whole=is_whole, is_tabs=not name.endswith(".csv"))
    raise CannotPreview("this kind of file has no rows")


def _decoded(data: bytes, *, is_whole: bool) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as exc:
            if not is_whole and exc.start >= len(data) - 4:
                return data[: exc.start].decode(encoding)  # the cut fell inside of a letter
    return data.decode("latin-1")


def _csv(text: str, *, is_whole: bool, is_tabs: bool) -> Table:
    if "\x00" in text:
        raise CannotPreview("it holds zero bytes, so it is no CSV text")
    delimiter = "\t" if is_tabs else _delimiter_of(text)
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    more = not is_whole
    try:
        for row in reader:
            if len(rows) > MAX_ROWS:
                more = True
                break
            if row:
                rows.append(row)
        else:
            if not is_whole and len(rows) > 1:
                rows.pop()  # the last one may be cut
    except csv.Error as exc:
        if not rows:
            raise CannotPreview(f"it is no CSV text ({exc})") from exc
        more = True
    if not rows:
        return Table((), (), more)
    width = max(len(row) for row in rows)
    header, body = rows[0], rows[1 : MAX_ROWS + 1]
    columns = [
        header[i].strip() if i < len(header) and header[i].strip() else f"{i + 1}"
        for i in range(min(width, MAX_COLUMNS))
    ]
    return Table(
        [_cell(name) for name in columns],
        [[_cell(row[i]) if i < len(row) else "" for i in range(len(columns))] for row in body],
        more or width > MAX_COLUMNS,
    )


def _delimiter_of(text: str) -> str:
    """The one that cuts the first lines into the most equal number of cells, more than one."""
    lines = [line for line in text[:20_000].splitlines()[:20] if line.strip()]

    def evenness(delimiter: str) -> tuple[float, int]:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            return (0.0, 0)
        if not widths or widths[0] < 2:
            return (0.0, 0)
        return (sum(width == widths[0] for width in widths) / len(widths), widths[0])

    return max(_DELIMITERS, key=evenness)


def _json_lines(text: str, *, is_whole: bool) -> Table:
    lines = text.split("\n")
    if not is_whole and len(lines) > 1:
        lines.pop()
    values: list[Any] = []
    more = not is_whole
    for line in lines:
        if not line.strip():
            continue
        if len(values) == MAX_ROWS:
            more = True
            break
        try:
            values.append(orjson.loads(line))
        except orjson.JSONDecodeError as exc:
            if not values:
                raise CannotPreview("its first line is no JSON") from exc
            more = True
            break
    return _of_values(values, more)


def _json(source: ByteSource) -> Table:
    if source.size_bytes > MAX_JSON_BYTES:
        raise CannotPreview("a JSON file is only read whole, and this one is too large; JSON lines can be of any size")
    try:
        found = orjson.loads(read_all(source))
    except orjson.JSONDecodeError as exc:
        raise CannotPreview("it is no JSON") from exc
    if not isinstance(found, list) or not all(isinstance(value, dict) for value in found[:MAX_ROWS]):
        raise CannotPreview("it is no list of objects")
    return _of_values(found[:MAX_ROWS], len(found) > MAX_ROWS)


def _of_values(values: Sequence[Any], more: bool) -> Table:  # noqa: FBT001 - as Table has it
    if not any(isinstance(value, Mapping) for value in values):
        return Table(("value",) if values else (), [[_cell(value)] for value in values], more)
    columns: dict[str, None] = {}
    for value in values:
        if isinstance(value, Mapping):
            columns |= dict.fromkeys(map(str, value))
    kept = list(columns)[:MAX_COLUMNS]
    rows = [
        [_cell(value[name]) if name in value else "" for name in kept]
        if isinstance(value, Mapping)
        else [_cell(value), *[""] * (len(kept) - 1)]
        for value in values
    ]
    return Table([_cell(name) for name in kept], rows, more or len(columns) > MAX_COLUMNS)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    text = text.replace("\x00", "\ufffd")
    return text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 1] + "…"


def _parquet(source: ByteSource) -> Table:
    """Read in a process of its own, with bounds: the reader is native code, and the file a stranger's."""
    if source.is_local:
        return _read_parquet(source, _extents_of(source))
    with tempfile.NamedTemporaryFile(prefix="headwater-parquet-") as file:
        _fetch_ends(source, file)
        return _read_parquet(source, [[file.name, 0, source.size_bytes]])


def _fetch_ends(source: ByteSource, file: IO[bytes]) -> None:
    """What the first rows need of a file that lies elsewhere: its beginning and its foot, with a hole between."""
    size = source.size_bytes
    foot = min(size, FOOT_BYTES)
    file.truncate(size)
    tail = read_all(source, size - foot, size)
    needed = min(size, int.from_bytes(tail[-8:-4], "little") + 8)
    if foot < needed <= MAX_FOOT_BYTES:
        tail = read_all(source, size - needed, size)
    file.seek(size - len(tail))
    file.write(tail)
    file.seek(0)
    feed(file.write, source.pieces(0, min(size - len(tail), FIRST_BYTES)))
    file.flush()


def _read_parquet(source: ByteSource, extents: list[Any]) -> Table:
    asked = {"size": source.size_bytes, "extents": extents, "rows": MAX_ROWS, "columns": MAX_COLUMNS}
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_PARQUET_PROGRAM)],
            input=orjson.dumps(asked),
            capture_output=True,
            timeout=PARQUET_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise CannotPreview("reading it took too long") from exc
    try:
        found = orjson.loads(done.stdout)
    except orjson.JSONDecodeError as exc:
        raise CannotPreview("it is damaged, or too large to look into") from exc
    if "error" in found:
        raise CannotPreview(found["error"])
    return Table(
        [_cell(name) for name in found["columns"]],
        [[_cell(value) for value in row] for row in found["rows"]],
        found["truncated"],
        found["types"],
        found["n_rows"],
    )


def _extents_of(source: ByteSource) -> list[Any]:
    """``[path, offset, count]``, or text in hexadecimal for bytes that lie in no file."""
    return list(_bounded(source.pieces(0, source.size_bytes)))


def _bounded(pieces: Iterable[Any]) -> Iterable[Any]:
    for n, piece in enumerate(pieces):
        if n == MAX_EXTENTS:
            raise CannotPreview("it lies in too many pieces")
        if isinstance(piece, bytes):
            yield piece.hex()
        else:
            yield [str(piece.path), piece.offset, piece.count]
