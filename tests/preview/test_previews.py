"""First rows, notebooks, code and heads of weights: real files, broken files, and any bytes."""

import csv
import io
import json
import struct
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.blobs import Extent, FileSource, MemorySource
from headwater.hub import preview
from headwater.hub.preview import BadWeights, CannotPreview
from headwater.hub.preview.tables import MAX_ROWS, READ_BYTES
from tests.preview.test_markdown import objections


class TextOf(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_data(self, data):
        self.text += data


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r")), min_size=2, max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_what_csv_writes_is_read(rows):
    rows = [[cell[:400] for cell in row] for row in rows]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    data = out.getvalue().encode()
    found = preview.table(MemorySource(data), "a.csv")
    if preview.tables._delimiter_of(data.decode()) == "," and not data.startswith(b"\xef\xbb\xbf"):
        width = max(len(row) for row in rows)
        assert [list(row) for row in found.rows] == [row + [""] * (width - len(row)) for row in rows[1:]]


@pytest.mark.parametrize(
    ("name", "data", "columns", "rows"),
    [
        ("a.csv", b"a,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        ("a.csv", b"a;b\n1,5;2\n3;4\n", ["a", "b"], [["1,5", "2"], ["3", "4"]]),
        ("a.tsv", b"a\tb\n1,1\t2\n", ["a", "b"], [["1,1", "2"]]),
        ("a.csv", "名,值\n模型,1\n".encode("gb18030"), ["名", "值"], [["模型", "1"]]),
        ("a.csv", "\ufeff名,值\n".encode(), ["名", "值"], []),
        ("a.csv", b'a,b\n"x\ny",2\n', ["a", "b"], [["x\ny", "2"]]),
        ("a.csv", b"a,\n1,2,3\n", ["a", "2", "3"], [["1", "2", "3"]]),
        ("a.csv", b"", [], []),
        ("a.jsonl", b'{"a":1}\n\n{"b":[1,{"c":null}]}\n', ["a", "b"], [["1", ""], ["", '[1,{"c":null}]']]),
        ("a.ndjson", b'1\n"x"\n', ["value"], [["1"], ["x"]]),
        ("a.json", b'[{"a":true}]', ["a"], [["true"]]),
    ],
)
def test_first_rows(name, data, columns, rows):
    found = preview.table(MemorySource(data), name)
    assert (list(found.columns), [list(row) for row in found.rows]) == (columns, rows)
    assert not found.truncated


def test_long_and_wide_tables_are_cut():
    found = preview.table(MemorySource(b"a,b\n" + b"1,2\n" * 500), "a.csv")
    assert len(found.rows) == MAX_ROWS
    assert found.truncated
    large = b"a,b\n" + "模型,2\n".encode() * (READ_BYTES // 8)
    assert preview.table(MemorySource(large), "a.csv").truncated
    wide = preview.table(MemorySource(b",".join(b"x%d" % i for i in range(900)) + b"\n"), "a.csv")
    assert len(wide.columns) == 200
    assert wide.truncated
    assert len(preview.table(MemorySource(b"a,b\n" + b"x" * 5000 + b",1\n"), "a.csv").rows[0][0]) == 500


@pytest.mark.parametrize(
    ("name", "data"), [("a.csv", b"\x00\x01\x02"), ("a.jsonl", b"{not json"), ("a.json", b'{"a":1}'), ("a.bin", b"x")]
)
def test_what_is_no_table_is_refused(name, data):
    with pytest.raises(CannotPreview):
        preview.table(MemorySource(data), name)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl", "a.json", "a.tsv"]))
def test_any_bytes_give_a_table_or_a_refusal(data, name):
    try:
        found = preview.table(MemorySource(data), name)
    except CannotPreview:
        return
    assert all(len(row) == len(found.columns) for row in found.rows)


@pytest.fixture
def parquet_bytes():
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    columns = {"id": list(range(250)), "text": ["模型"] * 250, "deep": [{"x": [1, 2]}] * 250, "raw": [b"abc"] * 250}
    pq.write_table(pa.table(columns), out, row_group_size=120)
    return out.getvalue()


def test_parquet_from_memory_and_from_runs_of_files(parquet_bytes, tmp_path):
    path = tmp_path / "f.parquet"
    path.write_bytes(b"junk" + parquet_bytes + b"junk")

    class Scattered:
        size_bytes = len(parquet_bytes)

        is_local = True

        def pieces(self, start, end):
            assert (start, end) == (0, self.size_bytes)
            for at in range(0, end, 1000):
                if at % 3000 == 0:
                    yield parquet_bytes[at : at + 1000]
                else:
                    yield Extent(path, 4 + at, min(1000, end - at))

    for source in (MemorySource(parquet_bytes), Scattered()):
        found = preview.table(source, "f.parquet")
        assert list(found.columns) == ["id", "text", "deep", "raw"]
        assert list(found.rows[3]) == ["3", "模型", '{"x":[1,2]}', "<3 bytes>"]
        assert (len(found.rows), found.n_rows, found.truncated) == (100, 250, True)
        assert found.types[0] == "int64"


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b"", lambda b: b"PAR1" * 50, lambda b: b[:100] + b"\xff" * 200 + b[300:]]
)
def test_damaged_parquet_is_refused(parquet_bytes, damage):
    with pytest.raises(CannotPreview):
        preview.table(MemorySource(damage(parquet_bytes)), "f.parquet")


NOTEBOOK = {
    "nbformat": 4,
    "metadata": {"language_info": {"name": "python"}},
    "cells": [
        {"cell_type": "markdown", "source": ["# Title\n", "<script>alert(1)</script>\n\n$x^2$"]},
        {
            "cell_type": "code",
            "source": "def f(): return '<b>'",
            "outputs": [
                {"output_type": "stream", "text": ["\x1b[31mred\x1b[0m <i>"]},
                {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo=\n", "text/plain": "figure"}},
                {"output_type": "display_data", "data": {"image/png": '"><script>', "text/plain": "fallback"}},
                {
                    "output_type": "execute_result",
                    "data": {"text/html": "<table><td onclick=x>1</td></table><script>x</script>"},
                },
                {
                    "output_type": "display_data",
                    "data": {"image/svg+xml": "<svg onload=alert(1)>", "text/plain": "drawn"},
                },
                {"output_type": "display_data", "data": {"application/javascript": "alert(1)"}},
                {"output_type": "error", "traceback": ["Traceback", "ValueError: <x>"]},
            ],
        },
        {"cell_type": "raw", "source": "<raw>"},
    ],
}


def test_a_notebook_is_shown_without_what_could_act():
    html = preview.notebook(json.dumps(NOTEBOOK).encode(), link_base="/a/b/blob/main/")
    assert objections(html) == []
    for part in ('id="md-title"', "<msup>", '<span class="k">def</span>', "red &lt;i&gt;", "data:image/png;base64,iVBORw0KGgo=",
                 "fallback", "<table>", "drawn", "ValueError: &lt;x&gt;", "&lt;raw&gt;"):  # fmt: skip
        assert part in html, part


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["code", "markdown", "<script>alert(1)</script>"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cells", "cell_type", "source", "outputs", "data", "output_type", "text/html", "image/png", "text", "metadata", "worksheets", "language_info", "name", "traceback", "level"]), inner, max_size=4),
        max_leaves=20,
    )
)  # fmt: skip
@settings(deadline=None)
def test_any_json_gives_safe_html_or_a_refusal(value):
    for shown in (value, {"cells": value}, {"cells": [value]}, {"cells": [{"cell_type": "code", "outputs": [value]}]}):
        try:
            html = preview.notebook(json.dumps(shown).encode())
        except CannotPreview:
            continue
        assert objections(html) == []


@given(
    st.text(),
    st.sampled_from(
        ["a.py", "a.md", "Makefile", "Dockerfile", "a.html", "a.json", "a.unknown", "a.js", "a.c", "a.tex", "a.yaml"]
    ),
)
@settings(deadline=None, max_examples=150)
def test_highlighting_keeps_the_text_and_nothing_else(text, name):
    html = preview.highlight(text, name)
    assert objections(html.replace('id="L', 'id="md-L')) == []
    shown = TextOf(html).text
    flat = text.replace("\r\n", "\n").replace("\r", "\n")
    assert shown.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") == flat.rstrip("\n")


def test_highlighting_numbers_lines():
    html = preview.highlight('x = """a\nb"""\n', "a.py")
    assert html.count('class="line"') == 2
    assert 'id="L2"' in html


def safetensors(head: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(head)) + head + data


def test_a_safetensors_head():
    head = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
            "b": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]},
        }
    ).encode()
    found = preview.safetensors_header(MemorySource(safetensors(head, bytes(16))))
    assert found.parameters_by_dtype() == {"BF16": 6, "F32": 1}
    assert found.n_parameters == 7
    assert found.metadata == {"format": "pt"}
    assert found.tensors[0].shape == (2, 3)


def gguf(*keys: tuple[str, int, bytes], tensors: bytes = b"", n_tensors: int = 0) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    body = b"".join(text(name) + struct.pack("<I", kind) + value for name, kind, value in keys)
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, len(keys)) + body + tensors


def gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def test_a_gguf_head():
    words = struct.pack("<IQ", 8, 3) + b"".join(map(gguf_text, ["<s>", "</s>", "模"]))
    tensor = gguf_text("blk.0.w") + struct.pack("<IQQIQ", 2, 64, 32, 2, 0)
    data = gguf(
        ("general.architecture", 8, gguf_text("llama")),
        ("llama.context_length", 4, struct.pack("<I", 2048)),
        ("tokenizer.ggml.tokens", 9, words),
        ("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 1000) + bytes(4000)),
        ("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 0)),
        ("tokenizer.chat_template", 8, gguf_text("{{ messages }}")),
        tensors=tensor,
        n_tensors=1,
    )
    found = preview.gguf_header(MemorySource(data))
    assert found.summary() == {
        "total": 2048, "architecture": "llama", "context_length": 2048, "chat_template": "{{ messages }}", "bos_token": "<s>",
    }  # fmt: skip
    assert (found.tensors[0].shape, found.tensors[0].dtype) == ((32, 64), "Q4_0")
    assert found.cut == {"tokenizer.ggml.scores": 1000}
    for end in range(len(data)):
        with pytest.raises(BadWeights):
            preview.gguf_header(MemorySource(data[:end]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        safetensors(b"{}")[:5],
        struct.pack("<Q", 1 << 60) + b"{}",
        safetensors(b"[]"),
        safetensors(b'{"a":1}'),
        safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
        safetensors(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}'),
        safetensors(b'{"a":{"dtype":3,"shape":[1],"data_offsets":[0,0]}}'),
        safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}'),
    ],
)
def test_lying_safetensors_heads_are_refused(data):
    with pytest.raises(BadWeights):
        preview.safetensors_header(MemorySource(data))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_head_or_a_refusal(data):
    for read, start in ((preview.gguf_header, b"GGUF\x03\x00\x00\x00"), (preview.safetensors_header, b"")):
        with pytest.raises(BadWeights) if not data else _nothing():
            try:
                read(MemorySource(start + data))
            except BadWeights:
                if not data:
                    raise


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_a_file_on_disk_is_a_source_too(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,2\n")
    assert list(preview.table(FileSource(path, 8), "a.csv").rows[0]) == ["1", "2"]
