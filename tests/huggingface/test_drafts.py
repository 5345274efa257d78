"""The lines of a commit: any bytes give a draft or a declared refusal, in bounded memory."""

from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.hub.content import draft
from headwater.hub.content.draft import Deleted, InlineFile, LargeFile, iter_lines, read_draft
from headwater.hub.content.errors import BadCommitBody, InlineFileTooLarge
from headwater.hub.errors import BadPath
from headwater.hub.files import BadDigest
from headwater.kernel import HeadwaterError

HEADER = {"key": "header", "value": {"summary": "Say hello", "description": "in two\nlines", "parentCommit": "abcde"}}


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        return self.root / name


def lines(*items: object) -> io.BytesIO:
    return io.BytesIO(b"".join(orjson.dumps(item) + b"\n" for item in items))


def inline(path: str, data: bytes) -> dict:
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}}


def test_every_kind_of_line_is_read(tmp_path):
    found = read_draft(
        lines(
            HEADER,
            inline("a.txt", b"hello"),
            {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "a" * 64, "size": 12}},
            {"key": "lfsFile", "value": {"path": "copy.bin", "oid": "a" * 64}},
            {"key": "deletedFile", "value": {"path": "old.txt"}},
            {"key": "deletedFolder", "value": {"path": "old/"}},
        ),
        Folder(tmp_path),
    )
    assert (found.title, found.body, found.parent) == ("Say hello", "in two\nlines", "abcde")
    assert found.changes == [
        InlineFile("a.txt", b"hello"),
        LargeFile("w.bin", "a" * 64, 12),
        LargeFile("copy.bin", "a" * 64, None),
        Deleted("old.txt", is_folder=False),
        Deleted("old", is_folder=True),
    ]


def test_contents_beyond_the_budget_wait_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(draft, "MEMORY_BYTES", 10)
    found = read_draft(
        lines(HEADER, inline("a", b"12345"), inline("b", b"1234567"), inline("c", b"123")), Folder(tmp_path)
    )
    held = [change.data for change in found.changes]
    assert held[0] == b"12345"
    assert held[1].read_bytes() == b"1234567"
    assert held[2] == b"123"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b'{"key":"file","value":{}}\n', "first line must be the header"),
        (b'{"key":"header","value":{"summary":"x"', "Line 1.*cut off"),
        (b'["header"]\n', "an object"),
        (b'{"key":"header","value":"x"}\n', "'value' must be an object"),
        (b'{"key":"header","value":{}}\n', "needs a 'summary'"),
        (b'{"key":"header","value":{"summary":"x","parentCommit":"main"}}\n', "parentCommit"),
        (orjson.dumps(HEADER) + b'\n{"key":"copyFile","value":{}}\n', "Line 2.*'copyFile' is not known"),
        (orjson.dumps(HEADER) + b'\n{"key":"file","value":{"path":"a","content":"%%%","encoding":"base64"}}', "base64"),
        (orjson.dumps(HEADER) + b'\n{"key":"file","value":{"path":"a","content":"x","encoding":"rot13"}}', "encoding"),
        (orjson.dumps(HEADER) + b'\n{"key":"file","value":{"path":"a"}}', "'content' must be text"),
        (orjson.dumps(HEADER) + b'\n{"key":"lfsFile","value":{"path":"a","oid":1}}', "'oid'"),
        (orjson.dumps(HEADER) + b'\n{"key":"lfsFile","value":{"path":"a","oid":"x","algo":"md5"}}', "'algo'"),
        (orjson.dumps(HEADER) + b'\n{"key":"deletedFile","value":{}}', "'path' is missing"),
    ],
)
def test_broken_lines_are_named(tmp_path, body, why):
    with pytest.raises(BadCommitBody, match=why):
        read_draft(io.BytesIO(body), Folder(tmp_path))


def test_bad_paths_and_digests_are_refused(tmp_path):
    with pytest.raises(BadPath):
        read_draft(lines(HEADER, inline("../a", b"x")), Folder(tmp_path))
    with pytest.raises(BadDigest):
        read_draft(lines(HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": "A" * 64}}), Folder(tmp_path))


def test_an_endless_line_is_refused_before_it_is_held():
    class Endless:
        taken = 0

        def read(self, n: int = -1, /) -> bytes:
            self.taken += n
            return b"x" * n

    source = Endless()
    with pytest.raises(InlineFileTooLarge):
        list(iter_lines(source))
    assert source.taken <= draft.MAX_LINE_BYTES + 2 * draft.READ_BYTES


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.integers(1, 50))
def test_lines_are_the_same_however_they_are_cut(parts, step):
    whole = b"\n".join(parts)

    class Slow:
        def __init__(self) -> None:
            self.inner = io.BytesIO(whole)

        def read(self, _n: int = -1, /) -> bytes:
            return self.inner.read(step)

    expected = whole.split(b"\n") if whole else []
    if expected and not expected[-1]:
        expected.pop()
    assert list(iter_lines(Slow())) == expected


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_a_draft_or_a_declared_refusal(tmp_path_factory, data, with_header):
    body = orjson.dumps(HEADER) + b"\n" + data if with_header else data
    with contextlib.suppress(HeadwaterError):
        read_draft(io.BytesIO(body), Folder(tmp_path_factory.getbasetemp()))
