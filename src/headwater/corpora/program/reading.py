"""Sources to documents: which files there are, cut into segments, and the raw documents of a segment in bounded batches.

Segments depend on the files alone, never on how many workers there are or what was done before: so a run that was killed goes on where it was,
and every engine sees the same. A document is still bytes here; whatever cannot become one stays as a row with its reason.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.corpora.program.operators.encoding import decode, named_encoding
from headwater.corpora.program.problems import CannotBuild
from headwater.corpora.recipe import Source

SEGMENT_BYTES = 64 << 20
BATCH_BYTES = 8 << 20
BATCH_DOCUMENTS = 20_000
MOST_FILES_A_SEGMENT = 5_000
_SKIP_BYTES = 1 << 20
_SHOWN_BYTES = 400  # of what cannot become a document, for previews
_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}
_MANUAL = re.compile(r"\.[1-9][a-z]{0,4}$")


@dataclass(frozen=True)
class SourceFile:
    path: Path
    name: str  # below the source
    format: str
    size_bytes: int

    @property
    def is_squeezed(self) -> bool:
        return self.name.endswith(".gz")


@dataclass(frozen=True)
class Segment:
    """Whole small files, or a range of one large file: of bytes (where lines begin in it) or of row groups."""

    number: int
    source: int
    files: tuple[SourceFile, ...]
    start: int = 0
    end: int | None = None


@dataclass
class RawBatch:
    """Documents as they are found; ``reasons`` where one is no document, with its first bytes. ``encodings`` where the reader had to find it out."""

    source: int
    layout: str  # html, man or text: what the bytes are
    declared: str | None = None
    ids: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    dates: list[str | None] = field(default_factory=list)
    licences: list[str | None] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    n_bytes: list[int] = field(default_factory=list)
    encodings: list[str | None] = field(default_factory=list)
    held_bytes: int = 0

    def add(
        self,
        document_id: str,
        data: bytes,
        *,
        reason: str | None = None,
        n_bytes: int | None = None,
        date: str | None = None,
        licence: str | None = None,
        encoding: str | None = None,
    ) -> None:
        self.ids.append(document_id)
        self.data.append(data[:_SHOWN_BYTES] if reason else data)
        self.dates.append(date)
        self.licences.append(licence)
        self.reasons.append(reason)
        self.encodings.append(encoding)
        self.n_bytes.append(len(data) if n_bytes is None else n_bytes)
        self.held_bytes += len(self.data[-1]) + len(document_id) + 64

    @property
    def is_full(self) -> bool:
        return self.held_bytes >= BATCH_BYTES or len(self.ids) >= BATCH_DOCUMENTS

    def to_arrow(self) -> pa.Table:
        n = len(self.ids)
        return pa.table(
            {
                "id": pa.array(self.ids, pa.string()),
                "data": pa.array(self.data, pa.large_binary()),
                "date": pa.array(self.dates, pa.string()),
                "licence": pa.array(self.licences, pa.string()),
                "reason": pa.array(self.reasons, pa.string()),
                "n_bytes": pa.array(self.n_bytes, pa.int64()),
                "encoding": pa.array(self.encodings, pa.string()),
                "source": pa.array([self.source] * n, pa.int32()),
            },
            metadata={"layout": self.layout, "declared": self.declared or ""},
        )


def format_of(name: str) -> str | None:
    """By the name; None for what is no text that is read here."""
    path = PurePosixPath(name.removesuffix(".gz"))
    return _FORMATS.get(path.suffix.lower()) or ("man" if _MANUAL.search(path.name) else None)


def list_files(source: Source, root: Path) -> list[SourceFile]:
    """The files of a source, by name. What a symbolic link leads to outside of the root is not there.

    Raises:
        CannotBuild: there are none, or one cannot be what it is said to be.
    """
    if not root.is_dir():
        raise CannotBuild("source_not_there", f"Source {source.name!r}: the folder {str(root)!r} is not there.")
    within = places_of(root, is_input=source.input is not None)
    found: dict[str, SourceFile] = {}
    matched = 0
    for pattern in source.files:
        for path in root.glob(pattern):
            name = path.relative_to(root).as_posix()
            if name in found or _hidden(name) or not path.is_file() or not is_within(path, within):
                continue
            matched += 1
            layout = format_of(name) if source.format == "auto" else source.format
            if layout is not None:
                found[name] = SourceFile(path, name, layout, path.stat().st_size)
    if not found:
        known = "; ".join(source.files)
        raise CannotBuild(
            "source_empty",
            f"Source {source.name!r}: no file of a known format matches {known} ({matched} others do). "
            "Correct `files`, or say the `format`.",
        )
    problems = [problem for each in found.values() if (problem := _problem_of(source, each))]
    if problems:
        raise CannotBuild("source_unreadable", problems)
    return [found[name] for name in sorted(found)]


def places_of(root: Path, *, is_input: bool) -> tuple[Path, ...]:
    """Where what is read below ``root`` may lie, links followed: a snapshot of a repository is links to the blobs beside it, or to those of all repositories of the cache."""
    real = root.resolve()
    if not is_input or real.parent.name != "snapshots":
        return (real,)
    return real.parents[1], real.parents[2] / "blobs"


def is_within(path: Path, places: tuple[Path, ...]) -> bool:
    real = path.resolve()
    return any(real.is_relative_to(place) for place in places)


def _hidden(name: str) -> bool:
    # A repository's own card and attributes are not its data.
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _problem_of(source: Source, file: SourceFile) -> str | None:
    if file.format != "parquet":
        return None
    what = f"Source {source.name!r}: {file.name}"
    try:
        schema = pq.read_schema(file.path)
    except (pa.ArrowException, OSError) as exc:
        return f"{what} is not a whole Parquet file ({_short(exc)}). Upload it again, or leave it out by `files`."
    if source.text_field not in schema.names:
        return f"{what} has no column {source.text_field!r}; its columns are {', '.join(schema.names[:20])}. Set `text_field`."
    kind = schema.field(source.text_field).type
    if not _is_text(kind):
        return f"{what}: the column {source.text_field!r} holds {kind}, not text. Set `text_field`."
    return None


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _short(exc: BaseException) -> str:
    return str(exc).split("\n", 1)[0][:200]


def segments_of(sources: list[list[SourceFile]]) -> list[Segment]:
    """All work, in order: by source, then by file name."""
    found: list[Segment] = []
    for number, files in enumerate(sources):
        small: list[SourceFile] = []
        small_bytes = 0
        for file in files:
            if small and (
                file.format != small[0].format
                or small_bytes + file.size_bytes > SEGMENT_BYTES
                or len(small) >= MOST_FILES_A_SEGMENT
            ):
                found.append(Segment(len(found), number, tuple(small)))
                small, small_bytes = [], 0
            ranges = list(_ranges(file))
            if len(ranges) > 1:
                if small:
                    found.append(Segment(len(found), number, tuple(small)))
                    small, small_bytes = [], 0
                found.extend(Segment(len(found) + n, number, (file,), *each) for n, each in enumerate(ranges))
            else:
                small.append(file)
                small_bytes += file.size_bytes
        if small:
            found.append(Segment(len(found), number, tuple(small)))
    return found


def _ranges(file: SourceFile) -> Iterator[tuple[int, int | None]]:
    if file.size_bytes <= SEGMENT_BYTES or file.is_squeezed:
        yield 0, None
    elif file.format == "parquet":
        metadata = pq.read_metadata(file.path)
        start = size = 0
        for group in range(metadata.num_row_groups):
            size += metadata.row_group(group).total_byte_size
            if size >= SEGMENT_BYTES:
                yield start, group + 1
                start, size = group + 1, 0
        if start < metadata.num_row_groups or metadata.num_row_groups == 0:
            yield start, metadata.num_row_groups
    elif file.format == "jsonl":
        for start in range(0, file.size_bytes, SEGMENT_BYTES):
            yield start, min(start + SEGMENT_BYTES, file.size_bytes)
    else:
        yield 0, None


def read(segment: Segment, source: Source, *, max_document_bytes: int) -> Iterator[RawBatch]:
    """The documents of a segment in batches of bounded size.

    Raises:
        CannotBuild: a file broke off or changed since it was listed.
    """
    batch: RawBatch | None = None
    for file in segment.files:
        layout = file.format if file.format in ("html", "man") else "text"
        try:
            for args in _documents(file, segment, source, max_document_bytes):
                if batch is None:
                    batch = RawBatch(segment.source, layout, source.encoding)
                document_id, data, facts = args
                batch.add(f"{source.name}/{document_id}", data, **facts)
                if batch.is_full:
                    yield batch
                    batch = None
        except (pa.ArrowException, OSError, EOFError, zlib.error) as exc:
            raise CannotBuild(
                "source_unreadable",
                f"Source {source.name!r}: {file.name} cannot be read to its end ({_short(exc)}). Upload it again, or leave it out by `files`.",
            ) from exc
    if batch is not None:
        yield batch


_Document = tuple[str, bytes, dict[str, Any]]


def _documents(file: SourceFile, segment: Segment, source: Source, most: int) -> Iterator[_Document]:
    if file.format == "parquet":
        yield from _parquet(file, segment, source, most)
    elif file.format == "jsonl":
        yield from _json_lines(file, segment, source, most)
    elif file.format == "txt" and source.documents != "file":
        yield from _pieces(file, source, most)
    else:
        with _open(file) as stream:
            data = stream.read(most + 1)
            if len(data) > most:
                yield file.name, b"", {"reason": "source:too_long", "n_bytes": len(data) + _skip_rest(stream)}
            else:
                yield file.name, data, {}


def _open(file: SourceFile) -> IO[bytes]:
    return gzip.open(file.path, "rb") if file.is_squeezed else file.path.open("rb", buffering=_SKIP_BYTES)  # type: ignore[return-value]


def _skip_rest(stream: IO[bytes]) -> int:
    skipped = 0
    while chunk := stream.read(_SKIP_BYTES):
        skipped += len(chunk)
    return skipped


def _lines(stream: IO[bytes], start: int, end: int | None, most: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Lines that begin in the range: where, the line (None if it is longer than ``most``), and its length. A long one is passed over, never held."""
    at = start
    if start:
        # The line before begins outside; where it ends, the first of ours does.
        stream.seek(start - 1)
        at = start - 1
        while True:
            chunk = stream.readline(_SKIP_BYTES)
            at += len(chunk)
            if not chunk or (end is not None and at > end):
                return
            if chunk.endswith(b"\n"):
                break
    while end is None or at < end:
        line = stream.readline(most + 2)
        if not line:
            return
        begins = at
        at += len(line)
        if len(line) > most + 1 or (len(line) == most + 1 and not line.endswith(b"\n")):
            while line and not line.endswith(b"\n"):
                line = stream.readline(_SKIP_BYTES)
                at += len(line)
            yield begins, None, at - begins
        else:
            yield begins, line.rstrip(b"\r\n"), at - begins


def _json_lines(file: SourceFile, segment: Segment, source: Source, most: int) -> Iterator[_Document]:
    whole = len(segment.files) > 1 or segment.end is None
    with _open(file) as stream:
        if file.name.removesuffix(".gz").endswith(".json") and whole:
            first = stream.peek(64)[:64].lstrip() if hasattr(stream, "peek") else b""
            if first.startswith(b"["):
                raise CannotBuild(
                    "source_unreadable",
                    f"Source {source.name!r}: {file.name} is one JSON list. Write one object a line (JSONL), so that it can be read in pieces.",
                )
        # What is escaped takes more room in JSON than as text.
        for at, line, n_bytes in _lines(stream, segment.start, segment.end, 2 * most + 65_536):
            place = f"{file.name}@{at}"
            if line is None:
                yield place, b"", {"reason": "source:too_long", "n_bytes": n_bytes}
            elif line.strip():
                yield _of_json(line, place, n_bytes, source, most)


def _of_json(line: bytes, place: str, n_bytes: int, source: Source, most: int) -> _Document:
    encoding = None
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        decoded = decode(line, declared=source.encoding)
        try:
            value = orjson.loads(decoded.text) if decoded else None
        except orjson.JSONDecodeError:
            value = None
        if value is None or decoded is None:
            return place, line, {"reason": "source:not_json", "n_bytes": n_bytes}
        encoding = named_encoding(decoded)
    text = value.get(source.text_field) if isinstance(value, dict) else None
    if not isinstance(text, str):
        return place, line, {"reason": "source:no_text", "n_bytes": n_bytes}
    data = text.encode("utf-8", "replace")
    if len(data) > most:
        return place, b"", {"reason": "source:too_long", "n_bytes": n_bytes}
    named = value.get(source.id_field) if source.id_field else None
    return (
        place if named is None else str(named)[:500],
        data,
        {
            "n_bytes": n_bytes,
            "date": _date(value, source.date_field),
            "licence": _text(value, source.licence_field),
            "encoding": encoding,
        },
    )


def _text(value: Any, name: str | None) -> str | None:
    found = value.get(name) if name else None
    return None if found is None else _words_of(found)[:200]


_A_DATE = re.compile(r"(\d{4})(?:[-/年.](\d{1,2}))?(?:[-/月.](\d{1,2}))?")


def _date(value: Any, name: str | None) -> str | None:
    """Of whatever a field holds, YYYY-MM-DD as far as it goes."""
    match = (
        _A_DATE.match(_words_of(found).strip()) if (found := value.get(name) if name else None) is not None else None
    )
    if match is None:
        return None
    return "-".join(part.zfill(2) for part in match.groups() if part)


def _parquet(file: SourceFile, segment: Segment, source: Source, most: int) -> Iterator[_Document]:
    with open_parquet(file.path) as opened:
        groups = range(segment.start, opened.num_row_groups if segment.end is None else segment.end)
        wanted = [n for n in (source.text_field, source.id_field, source.date_field, source.licence_field) if n]
        columns = [name for name in dict.fromkeys(wanted) if name in opened.schema_arrow.names]
        for group in groups:
            for row, value in enumerate(iter_rows(opened, group, columns)):
                place = f"{file.name}@{group}.{row}"
                data = value[source.text_field]
                if data is None:
                    yield place, b"", {"reason": "source:no_text", "n_bytes": 0}
                    continue
                if len(data) > most:
                    yield place, b"", {"reason": "source:too_long", "n_bytes": len(data)}
                    continue
                named = value.get(source.id_field) if source.id_field else None
                yield (
                    place if named is None else _words_of(named)[:500],
                    data,
                    {"date": _date(value, source.date_field), "licence": _text(value, source.licence_field)},
                )


def _words_of(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_ROWS_AT_ONCE = 1024
_FEW_ROWS = 16
_DECODED_BYTES = 256 << 20


def open_parquet(path: Path) -> pq.ParquetFile:
    """So that a value that a file holds once, and names a thousand times, is held once here too."""
    with pq.ParquetFile(path) as first:
        schema = first.schema_arrow
    texts = [each.name for each in schema if _is_text(each.type)]
    return pq.ParquetFile(path, pre_buffer=False, read_dictionary=texts)


def iter_rows(opened: pq.ParquetFile, group: int, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row after the other, texts as bytes; a value that Python has no form for (a date of the year 100,000) is None.

    Only a few are decoded at once where the group is large: how long a single value is, nobody knows before.
    """
    about = opened.metadata.row_group(group)
    parts = [about.column(n) for n in range(about.num_columns)]
    size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in columns)
    at_once = _ROWS_AT_ONCE if size <= _DECODED_BYTES else _FEW_ROWS
    for batch in opened.iter_batches(batch_size=at_once, row_groups=[group], columns=list(columns)):
        readers = [(name, _reader(batch.column(name))) for name in batch.schema.names]
        for row in range(batch.num_rows):
            yield {name: reader(row) for name, reader in readers}


def _reader(column: Any) -> Callable[[int], Any]:
    if pa.types.is_dictionary(column.type) and _is_text(column.type):
        values = _reader(column.dictionary)
        places = column.indices
        return lambda row: None if (at := places[row].as_py()) is None else values(at)
    if _is_text(column.type):
        column = column.cast(pa.large_binary())

    def value(row: int) -> Any:
        try:
            return column[row].as_py()
        except (ValueError, OverflowError):
            return None

    return value


def _pieces(file: SourceFile, source: Source, most: int) -> Iterator[_Document]:
    """Lines of a text, or paragraphs, which empty lines part."""
    with _open(file) as stream:
        held: list[bytes] = []
        held_at = size = 0
        too_long = False
        for at, line, n_bytes in _lines(stream, 0, None, most):
            if source.documents == "line":
                if line is None:
                    yield f"{file.name}@{at}", b"", {"reason": "source:too_long", "n_bytes": n_bytes}
                elif line.strip():
                    yield f"{file.name}@{at}", line, {}
                continue
            if line is not None and not line.strip():
                if held or too_long:
                    yield _piece(file, held_at, held, size, most, too_long=too_long)
                held, size, too_long = [], 0, False
                continue
            if not held and not too_long:
                held_at = at
            size += n_bytes
            if line is None or size > most:
                too_long, held = True, []
            elif not too_long:
                held.append(line)
        if held or too_long:
            yield _piece(file, held_at, held, size, most, too_long=too_long)


def _piece(file: SourceFile, at: int, lines: list[bytes], size: int, most: int, *, too_long: bool) -> _Document:
    place = f"{file.name}@{at}"
    if too_long or size > most:
        return place, b"", {"reason": "source:too_long", "n_bytes": size}
    return place, b"\n".join(lines), {}
