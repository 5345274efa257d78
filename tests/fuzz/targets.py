"""Every parser that reads strangers' bytes, with a few good examples to start from.

A target takes any bytes and either returns or refuses in the way it declares; anything else that escapes is a bug. Text parsers get
the bytes as latin-1, so that every byte is a character.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from headwater.blobs import MemorySource
from headwater.hub.checking.packs import UNPACKED_BYTES, _unpack
from headwater.hub.files.terms import Term, pack_terms, unpack_terms
from headwater.hub.git.models import BuiltPack
from headwater.hub.git.packs import PackWriter
from headwater.hub.models import RepoKind
from headwater.kernel import HeadwaterError, XetHash, utcnow

Run = Callable[[bytes], object]
REFUSALS: tuple[type[BaseException], ...] = (HeadwaterError,)


@dataclass(frozen=True)
class Target:
    run: Run
    seeds: tuple[bytes, ...] = field(default=(b"",))
    refuses: tuple[type[BaseException], ...] = REFUSALS


class _Body:
    """A request's body in memory."""

    def __init__(self, data: bytes) -> None:
        self.size_bytes: int | None = len(data)
        self._file = io.BytesIO(data)

    def read_into(self, window: memoryview) -> int:
        return self._file.readinto(window)

    def read(self, n: int = -1) -> bytes:
        return self._file.read(n)


class _Nowhere:
    """Where a xorb's chunks go that nobody keeps."""

    def framed(self, *_: object) -> None: ...

    def plain(self, *_: object) -> None: ...


class _Unspooled:
    def path(self, name: str) -> None:
        raise AssertionError("small contents stay in memory")


def _commands(data: bytes) -> object:
    from headwater.hub.git.pktline import read_commands

    return read_commands(io.BytesIO(data).read)


def _packets(data: bytes) -> object:
    from headwater.hub.git import lsrefs, pktline

    return pktline.split(data), lsrefs.parse(data)


def _git_objects(data: bytes) -> object:
    from headwater.hub.git import objects

    raw = objects.parse_commit(data)
    return list(objects.iter_tree(data)), objects.find_in_tree(data, b"a"), raw.author


def _pointer(data: bytes) -> object:
    from headwater.hub.git import parse_pointer

    return parse_pointer(data)


def _pack(data: bytes) -> object:
    """A pack and its index, one after the other: the first four bytes say where the second begins."""
    at = int.from_bytes(data[:4], "big") % (len(data) + 1)
    return _unpack((data[4:at], data[at:]), UNPACKED_BYTES)


def _pack_seed() -> bytes:
    from pathlib import Path

    with PackWriter(Path("/nonexistent")) as writer:
        for n in range(3):
            writer.add(3, b"content %d" % n * 20)
        built: BuiltPack = writer.finish()
    assert isinstance(built.data, bytes)
    assert isinstance(built.idx, bytes)
    return (4 + len(built.data)).to_bytes(4, "big") + built.data + built.idx


def _shard(data: bytes) -> object:
    from headwater.hub.xet.shards import parse_shard

    return parse_shard(data)


def _xorb(data: bytes) -> object:
    from headwater.hub.xet.receiving import receive_xorb

    return receive_xorb(_Body(data).read_into, _Nowhere())


def _terms(data: bytes) -> object:
    return unpack_terms(data)


def _draft(data: bytes) -> object:
    from headwater.hub.content.draft import read_draft

    return read_draft(io.BytesIO(data), _Unspooled())


def _form(data: bytes) -> object:
    from headwater.hub.uploads.forms import read_form

    return read_form(_Body(data), "multipart/form-data; boundary=abc", None)


def _lfs_batch(data: bytes) -> object:
    from headwater.hub.lfs.door import _objects

    body = orjson.loads(data)
    return _objects(body) if isinstance(body, dict) else None


def _card(data: bytes) -> object:
    from headwater.hub.cards.reading import parse_readme

    return parse_readme(data.decode("latin-1"), RepoKind.MODEL)


def _attributes(data: bytes) -> object:
    from headwater.hub.content.preupload import is_binary, parse_attributes

    return list(parse_attributes(data.decode("latin-1"))), is_binary(data)


def _markdown(data: bytes) -> object:
    from headwater.hub.markdown import render

    return render(data.decode("latin-1"), link_base="/a/b/blob/main")


def _notebook(data: bytes) -> object:
    from headwater.hub.preview.notebooks import notebook

    return notebook(data)


def _table(name: str) -> Run:
    def run(data: bytes) -> object:
        from headwater.hub.preview.tables import table

        return table(MemorySource(data), name)

    return run


def _weights(data: bytes) -> object:
    from headwater.hub.preview.weights import gguf_header, safetensors_header

    found = []
    for parse in (safetensors_header, gguf_header):
        try:
            found.append(parse(MemorySource(data)))
        except HeadwaterError as exc:
            found.append(exc)
    return found


def _picture(data: bytes) -> object:
    from headwater.hub.community.images import find_image

    return find_image(io.BytesIO(data))


def _names(data: bytes) -> object:
    from headwater.hub import names

    text = data.decode("utf-8", "surrogateescape")
    for parse in (names.check_path, names.check_ref, names.parse_repo_name, names.check_name):
        try:
            parse(text)
        except HeadwaterError:
            continue
    return None


def _cursor(data: bytes) -> object:
    from headwater.kernel import decode_number
    from headwater.kernel.paging import decode_cursor

    text = data.decode("latin-1")
    return decode_cursor(text), decode_number(text)


def _signed(data: bytes) -> object:
    from headwater.hub.signing import verify

    return verify(b"s" * 32, "link", data.decode("latin-1"), now=utcnow())


def _ranges(data: bytes) -> object:
    from headwater.web.responses import parse_ranges

    found = parse_ranges(data.decode("latin-1"), 1000)
    for start, end in found or ():
        assert 0 <= start < end <= 1000
    return found


def _credentials(data: bytes) -> object:
    from headwater.accounts.credentials import looks_like_token, secret_of_authorization

    text = data.decode("latin-1")
    return secret_of_authorization(text), looks_like_token(text)


def _languages(data: bytes) -> object:
    from headwater.web.i18n import _accepted

    return _accepted(data.decode("latin-1"))


def _notes(data: bytes) -> object:
    from headwater.ledger import notes

    found = []
    for parse, asked in (
        (notes.parse_note, data),
        (notes.parse_checkpoint, data.decode("latin-1")),
        (notes.parse_key, data.decode("latin-1")),
    ):
        try:
            found.append(parse(asked))
        except HeadwaterError as exc:
            found.append(exc)
    return found


def _witness_request(data: bytes) -> object:
    from headwater.ledger.witnessing import parse_request

    return parse_request(data)


def _manifest(data: bytes) -> object:
    from headwater.hub.backup import Manifest

    return Manifest.parse(data, "x")


def _contents(data: bytes) -> object:
    from headwater.hub.backup.parts import Contents

    return Contents.parse(data, "x")


def _query(data: bytes) -> object:
    from headwater.hub.search.segment import terms_of

    return terms_of(data.decode("utf-8", "replace"))


def _judged(name: str) -> Run:
    def run(data: bytes) -> object:
        from headwater import scanning

        found = scanning.judge(name, scanning.Memory(data))
        assert "gate.not-judged" not in {finding.rule.id for finding in found.findings}
        return found

    return run


def _secrets(data: bytes) -> object:
    from headwater import scanning

    return scanning.find_secrets(data)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
COMMAND = b"0" * 40 + b" " + b"a" * 40 + b" refs/heads/main\0report-status side-band-64k"
COMMIT = (
    b"tree " + b"a" * 40 + b"\nparent " + b"b" * 40 + b"\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nhi\n"
)
HEADER = orjson.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})
SAFETENSORS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(8)
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 4) + b"name" + struct.pack("<IQ", 8, 3) + b"abc"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0" + struct.pack(">I", zlib.crc32(b"IHDR"))
FORM = b'--abc\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nx\r\n--abc\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhello\r\n--abc--\r\n'
NOTEBOOK = b'{"cells":[{"cell_type":"code","source":["1+1"],"outputs":[{"output_type":"stream","text":"2"}]}],"nbformat":4,"metadata":{}}'
DRAFT = b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":"a.txt","content":"aGk=","encoding":"base64"}}\n{"key":"deletedFile","value":{"path":"b"}}\n'
NOTE = b"example.org/log\n12\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 example.org " + b"A" * 96 + b"\n"
PICKLE = b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93."

TARGETS: dict[str, Target] = {
    "push commands": Target(_commands, (b"%04x" % (len(COMMAND) + 4) + COMMAND + b"0000",)),
    "git packets": Target(_packets, (b"0014command=ls-refs\n0001000csymrefs\n0000",)),
    "git objects": Target(_git_objects, (COMMIT, b"100644 a\0" + b"x" * 20), (HeadwaterError, UnicodeDecodeError)),
    "pointer": Target(_pointer, (POINTER,)),
    "pack": Target(_pack, (_pack_seed(),)),
    "shard": Target(_shard, ()),
    "xorb": Target(_xorb, (struct.pack("<II", 5 << 8, 5 << 8) + b"hello",)),
    "terms": Target(_terms, (pack_terms([Term(XetHash("ab" * 32), 0, 1, 0, 10)]),), (HeadwaterError, struct.error)),
    "commit": Target(_draft, (DRAFT,)),
    "browser form": Target(_form, (FORM,)),
    "lfs batch": Target(
        _lfs_batch, (b'{"operation":"upload","objects":[{"oid":"aa","size":1}]}',), (HeadwaterError, ValueError)
    ),
    "card": Target(_card, (b"---\nlicense: mit\ntags:\n- a\nmodel-index:\n- name: x\n---\n# Hi\n",)),
    "gitattributes": Target(_attributes, (b"*.bin filter=lfs diff=lfs merge=lfs -text\n",)),
    "markdown": Target(
        _markdown, (b"# a\n\n| a | b |\n|-|-|\n| 1 | $x^2$ |\n\n<b onclick=x>x</b> [l](javascript:x)\n",)
    ),
    "notebook": Target(_notebook, (NOTEBOOK,)),
    "csv": Target(_table("a.csv"), (b'a,b\n1,"x,\ny"\n',)),
    "tsv": Target(_table("a.tsv"), (b"a\tb\n1\t2\n",)),
    "json lines": Target(_table("a.jsonl"), (b'{"a":1}\n{"a":[2]}\n',)),
    "json table": Target(_table("a.json"), (b'[{"a":1},{"b":null}]',)),
    "weights": Target(_weights, (SAFETENSORS, GGUF)),
    "picture": Target(_picture, (PNG, b"GIF89a\1\0\1\0", b"\xff\xd8\xff\xc0\0\x11\x08\0\1\0\1")),
    "names": Target(_names, (b"ada/model", b"refs/heads/main", b"a/b/c.txt")),
    "cursor": Target(_cursor, (b"MTI", b"WzEsMl0")),
    "signed link": Target(_signed, (b"eyJhIjoxfQ.AAAA",)),
    "range": Target(_ranges, (b"bytes=0-1", b"bytes=-5,7-")),
    "authorization": Target(_credentials, (b"Bearer hf_abc", b"Basic YTpi")),
    "accept-language": Target(_languages, (b"zh-CN,zh;q=0.9,en;q=0.8",)),
    "signed note": Target(_notes, (NOTE,)),
    "witness request": Target(_witness_request, (b"old 3\n" + b"A" * 43 + b"=\n\n" + NOTE,)),
    "backup manifest": Target(_manifest, (b'{"format":2,"made_at":"2026-01-01T00:00:00Z"}',)),
    "backup contents": Target(_contents, (b"database\t" + b"ab" * 32 + b"\t262144\nobjects\t" + b"0" * 64 + b"\t7\n",)),
    "search words": Target(_query, ("大模型 tiny-lm_v2".encode(),)),
    "judged pickle": Target(_judged("a.pt"), (PICKLE,)),
    "judged archive": Target(_judged("a.zip"), (b"PK\x03\x04" + bytes(26),)),
    "judged safetensors": Target(_judged("a.safetensors"), (SAFETENSORS,)),
    "judged gguf": Target(_judged("a.gguf"), (GGUF,)),
    "judged array": Target(
        _judged("a.npy"), (b"\x93NUMPY\1\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }" + b" " * 60,)
    ),
    "judged text": Target(_judged("README.md"), (b"---\nlicense: mit\n---\n",)),
    "secrets": Target(_secrets, (b"key = AKIAIOSFODNN7EXAMPLE\n-----BEGIN PRIVATE KEY-----\nabc\n",)),
}
