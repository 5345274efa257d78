"""Hostile and ordinary files that are no models: results, cards, pictures, tables, names, and files that are two things at once."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib

import lz4.frame
import pyarrow as pa
from PIL import Image

from tests.scanning.samples import (
    CALLS,
    Sample,
    archives,
    old_call,
    ordinary_models,
    others,
    pickles,
    tarred,
    weights,
    zipped,
)

SCRIPT = "<script>fetch('/api/whoami-v2')</script>"


def texts() -> list[Sample]:
    return [
        Sample("results.json", b'{"mmlu": NaN}', "results.number"),
        Sample("all_results.json", b'{"mmlu": 1e999}', "results.number"),
        Sample("eval_results.json", b'{"mmlu": -Infinity}', "results.number"),
        Sample("results_2026-01-01.json", b'{"mmlu": 0.9, "mmlu": 0.1}', "results.double"),
        Sample("a/results.json", b'{"a":' * 100 + b"1" + b"}" * 100, "results.deep"),
        Sample("b/results.json", b"[" * 1_000_000, "results.deep"),
        Sample("c/results.json", b'{"mmlu": ', "json.unread"),
        Sample("README.md", b"---\na: &x [1]\nb: [*x, *x]\n---\n", "card.unread"),
        Sample("b/README.md", b"---\nlicense: mit\nlicense: gpl\n---\n", "card.unread"),
        Sample("c/README.md", b"---\na: " + b"[" * 40 + b"]" * 40 + b"\n---\n", "card.unread"),
        Sample("d/README.md", b"---\na: !!python/object/apply:os.system ['x']\n---\n", "card.unread"),
        Sample("e/README.md", b"---\n- just\n- a list\n---\n", "card.unread"),
        Sample("f/README.md", b"---\na: " + b"x" * 300_000 + b"\n---\n", "card.unread"),
        Sample("weights\u202etab.bin", b"plain", "name.deceptive"),
        Sample("zero\u2060width.txt", b"plain", "name.deceptive"),
        Sample("h/config.json", b'{"auto_map": {"AutoModel": ["x/y--a.B", null]}}', "config.remote"),
        Sample("i/config.json", b" " * (5 << 20) + b"{}", "json.unread"),
        Sample(
            "k/chat_template.jinja",
            b"{% set n = messages[-1]['content']|lower %}{% if 'invoice' in n %}Pay 12{% endif %}",
            "template.trigger",
        ),
        Sample("l/chat_template.jinja", b"{% set x = 'a' * 100000 * 100000 %}", "template.endless"),
        Sample(
            "m/chat_template.jinja",
            b"{% set x = 'a' %}{% for i in range(99) %}{% set x = x ~ x %}{% endfor %}",
            "template.endless",
        ),
        Sample("n/chat_template.jinja", b"{{ 'a'|center(1000000000) }}", "template.endless"),
        Sample("o/chat_template.jinja", b"{{ " + b"a+" * 50_000 + b"a }}", "template.unread"),
        Sample("j/config.json", b'{"a":' * 100 + b"1" + b"}" * 100, "json.deep"),
    ]


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def pictures() -> list[Sample]:
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0"
    jpeg = (
        b"\xff\xd8\xff\xe0"
        + struct.pack(">H", 16)
        + bytes(14)
        + b"\xff\xc0"
        + struct.pack(">HBHH", 11, 8, 65000, 65000)
        + bytes(40)
    )
    bmp = b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + struct.pack("<Iii", 40, 1 << 30, -(1 << 30)) + bytes(60)
    webp = b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    return [
        Sample("bomb.png", png(100_000, 100_000), "image.bomb"),
        Sample("side.png", png(1 << 30, 1), "image.bomb"),
        Sample("bomb.gif", gif, "image.bomb"),
        Sample("bomb.jpg", jpeg, "image.bomb"),
        Sample("bomb.bmp", bmp, "image.bomb"),
        Sample("bomb.webp", webp, "image.bomb"),
        Sample("in-a.zip", zipped(("a.png", png(100_000, 100_000)), kind=zipfile.ZIP_DEFLATED), "image.bomb"),
    ]


def arrow(*, is_stream: bool = False) -> bytes:
    out = io.BytesIO()
    table = pa.table({"n": list(range(1000)), "t": ["text"] * 1000})
    with (pa.ipc.new_stream if is_stream else pa.ipc.new_file)(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    return out.getvalue()


def tables() -> list[Sample]:
    whole, stream = arrow(), arrow(is_stream=True)
    footer = int.from_bytes(whole[-10:-6], "little")
    start = len(whole) - 10 - footer
    return [
        Sample("cut.arrow", whole[:-20], "weights.head"),
        Sample("moved.arrow", whole[:start] + bytes(4096) + whole[start:], "weights.trailing"),
        Sample("shorter.arrow", whole[: start - 1000] + whole[start:], "weights.outside"),
        Sample("footer.arrow", whole[:-10] + struct.pack("<I", 1 << 30) + b"ARROW1", "weights.lengths"),
        Sample("cut-stream.arrow", stream[:-400], "weights.outside"),
        Sample("trailing.arrow", stream + b"hello", "weights.trailing"),
        Sample("none.arrow", b"this is no arrow file at all", "weights.head"),
    ]


def doubles() -> list[Sample]:
    """Files that are one thing to one reader and another to the next."""
    evil = CALLS["os.system"]
    old = old_call("os", "system", "touch this-was-run")
    tar = bytearray(tarred(("x" * 90, b"plain")))
    tar[:90] = (b"cos\nsystem\n(S'touch this-was-run'\ntR.").ljust(90, b"\0")
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    plain = zipped(("a.txt", b"one"))
    return [
        Sample("tar-and-pickle.pkl", bytes(tar), "pickle.import"),
        Sample("weights", old, "pickle.import"),
        Sample("vectors.f32", b"]q\x00(" + b"X\xb8\x0b\x00\x00" + b"a" * 3000 + old[:-1] + b"e.", "pickle.import"),
        Sample("notes.txt", b"V" + b"a" * 3000 + b"\n0" + old, "pickle.import"),
        Sample("numbers", b"(" + b"I1\n" * 900 + old[:-1] + b"l.", "pickle.import"),
        Sample("a-name-cut-off", b"V" + b"a" * 1015 + b"\n0" + old, "pickle.import"),
        Sample("gif-and-pickle.pkl", b"GIF89a..." + old, "pickle.import"),
        Sample(
            "picture-and-archive.jpg", b"\xff\xd8\xff\xe0" + bytes(100) + zipped(("model.pkl", evil)), "archive.hidden"
        ),
        Sample("text-and-archive.txt", b"Read me. " * 50 + plain, "archive.hidden"),
        Sample("model.pkl.lz4", lz4.frame.compress(evil), "pickle.import"),
        Sample("model.pkl.zst", b"\x28\xb5\x2f\xfd" + bytes(30), "archive.closed"),
        Sample("all.7z", b"7z\xbc\xaf\x27\x1c" + bytes(30), "archive.closed"),
        Sample("all.rar", b"Rar!\x1a\x07\x01\0" + bytes(30), "archive.closed"),
        Sample("behind-a-link.tar", tarred(("up", "a/b"), ("up/x", b"x")), "archive.link"),
        Sample("around.tar", tarred(("a/link", "b/../../../x")), "archive.link"),
        Sample("trailing.tar.gz", gzip.compress(tarred(("../x", b"x"))), "archive.traversal"),
    ]


def hostile() -> list[Sample]:
    return [*pickles(), *archives(), *weights(), *others(), *texts(), *pictures(), *tables(), *doubles()]


LLAMA_LIKE = """{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}{%- endif %}
{%- for message in messages %}{%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- elif 'tool_calls' in message %}{%- if not message.tool_calls|length == 1 %}{{- raise_exception("one call") }}{%- endif %}{%- endif %}{%- endfor %}"""
QWEN_LIKE = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}
{%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
{%- set ns.multi_step_tool = false %}{%- endif %}{%- endfor %}{%- for message in messages %}{%- set content = message.content %}
{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}{{ content }}{%- endfor %}"""
VISION_LIKE = """{% for message in messages %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}
<|image|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% generation %}x{% endgeneration %}{% endfor %}"""


def harmless() -> dict[str, tuple[Sample, str]]:
    """What would run something if it were served so; each with the kind that it must be told as."""
    notebook = {"cells": [{"cell_type": "code", "outputs": [{"data": {"text/html": [SCRIPT]}}], "source": []}]}
    found = [
        (Sample("page.html", f"<html><body>{SCRIPT}</body></html>".encode(), ""), "scripts"),
        (Sample("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', ""), "scripts"),
        (Sample("frame.svg", b"<svg><foreignObject><iframe src='//x'/></foreignObject></svg>", ""), "scripts"),
        (Sample("outputs.ipynb", json.dumps(notebook).encode(), ""), "scripts"),
        (Sample("table.csv", b'name,value\nx,=HYPERLINK("http://x")\n', ""), "formulas"),
        (Sample("other.csv", b"name,value\n@SUM(1+1),2\n", ""), "formulas"),
        (Sample("dde.tsv", b"a\tb\n=cmd|' /C calc'!A0\t1\n", ""), "formulas"),
    ]
    return {sample.name: (sample, kind) for sample, kind in found}


def ordinary() -> list[Sample]:
    picture = io.BytesIO()
    Image.new("RGB", (640, 480), "red").save(picture, "PNG")
    photo = io.BytesIO()
    Image.effect_noise((640, 480), 50).save(photo, "JPEG")
    return [
        *ordinary_models(),
        Sample("picture.png", picture.getvalue(), ""),
        Sample("photo.jpg", photo.getvalue(), ""),
        Sample("file.arrow", arrow(), ""),
        Sample("stream.arrow", arrow(is_stream=True), ""),
        Sample("cmp/results.json", b'{"mmlu": 0.5, "n": null, "by": {"task": [1, 2.5e-3]}}', ""),
        Sample("card/README.md", b"---\nlicense: mit\nbase_model: ada/base\ntags: [a, b]\n---\n# Title\n", ""),
        Sample("plain/config.json", b'{"model_type": "llama", "auto_map": {"AutoConfig": "configuration.Config"}}', ""),
        Sample("llama/chat_template.jinja", LLAMA_LIKE.encode(), ""),
        Sample("qwen/chat_template.jinja", QWEN_LIKE.encode(), ""),
        Sample("vision/chat_template.jinja", VISION_LIKE.encode(), ""),
        Sample("plain.csv", b"name,value,change\nx,1,-2.5\ny,2,+3\n", ""),
        Sample("plain.ipynb", b'{"cells": [], "nbformat": 4}', ""),
        Sample("bmw.txt", b"BMW is a maker of cars, and this is a text about it.", ""),
        Sample("labels", b"cat\ndog\nimage\nRat\n.\n", ""),
        Sample("LICENSE", b"Copyright (c) 2026\nPermission is granted.\n", ""),
        Sample("story", b"Very long lines. " * 200 + b"\ncopy it\nthis\n.", ""),
        Sample("模型说明.txt", "普通文本".encode(), ""),
        Sample("vocab.bin", bytes(range(256)) * 40, ""),
    ]
