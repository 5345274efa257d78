"""A multipart form as a browser sends it, read as it comes: texts are bounded, files go straight to disk, hashed on the way."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message as Header
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.blobs.folder import refusing_when_full
from headwater.hub.uploads.errors import BadUpload, FormTooLarge
from headwater.kernel import Sha256

if TYPE_CHECKING:
    from headwater.web.bodies import BodyReader

WINDOW_BYTES = 256 << 10
MAX_TEXT_BYTES = 4 << 20
MAX_PARTS = 1000  # texts and files together, empty ones and those of one name too
MAX_HEADER_BYTES = 16 << 10  # of a part, names and values


@dataclass(frozen=True)
class SentFile:
    """A file that came in a form; ``name`` is what the browser called it, folders and all."""

    name: str
    path: Path
    size_bytes: int
    sha256: Sha256


@dataclass
class SentForm:
    texts: dict[str, str] = field(default_factory=dict)
    files: list[SentFile] = field(default_factory=list)
    n_dropped: int = 0  # files whose bytes were not kept

    def __getitem__(self, name: str) -> str:
        return self.texts.get(name, "")

    def discard(self) -> None:
        """Remove what came, for a form that is refused."""
        for file in self.files:
            file.path.unlink(missing_ok=True)


def read_form(reader: BodyReader, content_type: str, new_file: Callable[[], Path] | None) -> SentForm:
    """Read a whole multipart body; memory is one window and the texts.

    ``new_file`` is where the next file goes; None drops their bytes, so that what was typed beside them can be shown again.

    Raises:
        BadUpload: it is no such form.
        FormTooLarge: it has too many parts, or too long headers or texts; told as soon as that is seen.
        StorageFull, BodyTruncated: nothing stays.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadUpload("the body is not a form with files")
    parts = _Parts(new_file)
    window = memoryview(bytearray(WINDOW_BYTES))
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        while got := reader.read_into(window):
            parser.write(bytes(window[:got]))
        parser.finalize()
        if not parts.is_ended:
            raise BadUpload("the form ends in the middle")
    except FormParserError as exc:
        parts.abort()
        raise BadUpload("the form is broken") from exc
    except BaseException:
        parts.abort()
        raise
    return parts.form


class _Parts:
    """What the parser's callbacks fill: one part at a time."""

    def __init__(self, new_file: Callable[[], Path] | None) -> None:
        self.form = SentForm()
        self.is_ended = False
        self._new_file = new_file
        self._n_parts = 0
        self._header_name = self._header_value = b""
        self._header_bytes = 0
        self._headers: dict[str, str] = {}
        self._name = ""
        self._text: bytearray | None = None
        self._text_bytes = 0
        self._fd = -1
        self._file: tuple[str, Path] | None = None
        self._hasher: Any = None
        self._size = 0

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._start,
            "on_part_data": self._take,
            "on_part_end": self._finish,
            "on_end": self._end,
        }

    def abort(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._file is not None:
            self._file[1].unlink(missing_ok=True)
        self.form.discard()

    def _begin(self) -> None:
        self._headers, self._header_name, self._header_value, self._header_bytes = {}, b"", b"", 0
        self._n_parts += 1
        if self._n_parts > MAX_PARTS:
            raise FormTooLarge(f"it has more than {MAX_PARTS} fields and files; send the rest in another one")

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._header_value += data[start:end]

    def _count_header_bytes(self, n_bytes: int) -> None:
        self._header_bytes += n_bytes
        if self._header_bytes > MAX_HEADER_BYTES:
            raise FormTooLarge(f"the headers of one of its parts have more than {MAX_HEADER_BYTES} bytes")

    def _end_header(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_value.decode("utf-8", "replace")
        self._header_name = self._header_value = b""

    def _start(self) -> None:
        header = Header()
        header["content-disposition"] = self._headers.get("content-disposition", "").replace("\r", "").replace("\n", "")
        name = header.get_param("name", header="content-disposition")
        filename = header.get_param("filename", header="content-disposition")
        self._name = name if isinstance(name, str) else ""
        self._text, self._file = None, None
        if not isinstance(filename, str):
            self._text = bytearray()
        elif filename and self._new_file is None:
            self.form.n_dropped += 1
        elif filename and self._new_file is not None:
            path = self._new_file()
            with refusing_when_full():
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._file, self._hasher, self._size = (filename.replace("%22", '"'), path), hashlib.sha256(), 0

    def _take(self, data: bytes, start: int, end: int) -> None:
        chunk = memoryview(data)[start:end]
        if self._text is not None:
            self._text_bytes += len(chunk)
            if self._text_bytes > MAX_TEXT_BYTES:
                raise FormTooLarge(f"its texts have more than {MAX_TEXT_BYTES >> 20} MiB")
            self._text += chunk
        elif self._file is not None:
            self._hasher.update(chunk)
            self._size += len(chunk)
            with refusing_when_full():
                while chunk:
                    chunk = chunk[os.write(self._fd, chunk) :]

    def _finish(self) -> None:
        if self._text is not None:
            self.form.texts[self._name] = bytes(self._text).decode("utf-8", "replace")
        elif self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1
            name, path = self._file
            self.form.files.append(SentFile(name, path, self._size, Sha256(self._hasher.hexdigest())))
        self._text, self._file = None, None

    def _end(self) -> None:
        self.is_ended = True
