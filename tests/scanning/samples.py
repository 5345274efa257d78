"""Hostile files, made here and never opened by what they are aimed at, and ordinary ones beside them.

A payload that did run would write ``MARKER`` into the working folder; tests look that it is not there.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MARKER = "this-was-run"
TOUCH = f"touch {MARKER}"
WRITE = f"open({MARKER!r}, 'w').close()"


@dataclass(frozen=True)
class Sample:
    name: str
    data: bytes
    rule: str  # one of the rules that must be broken; "" for an ordinary file


# --- pickles ---------------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw if len(raw) < 256 else b"X" + struct.pack("<I", len(raw)) + raw


def call(module: str, name: str, *args: str) -> bytes:
    """A pickle of protocol 4 that calls ``module.name`` with texts."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93(" + b"".join(map(text, args)) + b"tR."


def old_call(module: str, name: str, arg: str) -> bytes:
    return f"c{module}\n{name}\n(S{arg!r}\ntR.".encode()


CALLS = {
    "os.system": call("os", "system", TOUCH),
    "posix.system": call("posix", "system", TOUCH),
    "nt.system": call("nt", "system", TOUCH),
    "builtins.eval": call("builtins", "eval", WRITE),
    "builtins.exec": call("builtins", "exec", WRITE),
    "python 2 names": call("__builtin__", "eval", WRITE),
    "builtins.getattr": call("builtins", "getattr", "os", "system"),
    "builtins.__import__": call("builtins", "__import__", "os"),
    "builtins.open": call("builtins", "open", MARKER, "w"),
    "builtins.compile": call("builtins", "compile", WRITE, "x", "exec"),
    "subprocess.Popen": call("subprocess", "Popen", TOUCH),
    "subprocess.check_output": call("subprocess", "check_output", TOUCH),
    "runpy": call("runpy", "_run_code", WRITE),
    "code.InteractiveInterpreter": call("code", "InteractiveInterpreter"),
    "pkgutil.resolve_name": call("pkgutil", "resolve_name", "os:system"),
    "timeit.timeit": call("timeit", "timeit", WRITE),
    "cProfile.run": call("cProfile", "run", WRITE),
    "importlib.import_module": call("importlib", "import_module", "os"),
    "operator.methodcaller": call("operator", "methodcaller", "system", TOUCH),
    "functools.partial": call("functools", "partial"),
    "ctypes.CDLL": call("ctypes", "CDLL", "libc.so.6"),
    "socket": call("socket", "create_connection"),
    "webbrowser": call("webbrowser", "open", "http://127.0.0.1/"),
    "shutil.rmtree": call("shutil", "rmtree", "none"),
    "pip.main": call("pip", "main", "install"),
    "torch that unpickles again": call("torch.storage", "_load_from_bytes", "x"),
    "torch.load": call("torch", "load", "x"),
    "torch.hub": call("torch.hub", "load", "a/b"),
    "numpy's __builtins__": call("numpy", "__builtins__"),
    "a dotted name": call("collections", "OrderedDict.fromkeys.__globals__"),
    "a dotted module": call("numpy.testing._private.utils", "runstring", WRITE),
    "an unknown class": call("my_model", "Net"),
    "bdb": call("bdb", "Bdb"),
    "logging.config": call("logging.config", "listen"),
    "sys.modules": call("sys", "modules"),
    "types.FunctionType": call("types", "FunctionType"),
    "an object with INST": f"(S{TOUCH!r}\nios\nsystem\n.".encode(),
    "protocol 0": old_call("os", "system", TOUCH),
}
_HIDDEN_NAME = (
    b"\x80\x04" + text("x") + text("os") + b"0" + text("os") + b"\x94" + text("system") + b"2\x930("
)  # POP and DUP between
PICKLES = {
    "a name behind a memo": b"\x80\x04"
    + text("os")
    + b"\x940"
    + text("system")
    + b"\x940h\x00h\x01\x93("
    + text(TOUCH)
    + b"tR.",
    "a name after POP and DUP": _HIDDEN_NAME + text(TOUCH) + b"tR.",
    "a memo from far away": b"\x80\x04"
    + text("os")
    + b"r\xff\xff\xff\x7f0"
    + text("system")
    + b"q\x010j\xff\xff\xff\x7fh\x01\x93("
    + text(TOUCH)
    + b"tR.",
    "an extension code": b"\x80\x04\x82\x01(" + text(TOUCH) + b"tR.",
    "a second pickle": pickle.dumps([1, 2]) + CALLS["os.system"],
    "bytes behind the pickle": pickle.dumps([1, 2]) + b"\xff\xfe\xfd",
    "a length of 2^63": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 63) + b"abc.",
    "a length beyond the end": b"\x80\x04X" + struct.pack("<I", 1 << 30) + b"abc.",
    "cut in the middle": pickle.dumps({"a": list(range(100))})[:60],
    "an opcode that is none": b"\x80\x04\xff.",
    "no pickle at all": b"hello, world",
    "nothing": b"",
    "an import before the error": CALLS["os.system"][:-1] + b"\xff",
    "counted on behind a hole": b"\x80\x04"
    b"("
    + text("collections")
    + b"q\x01"
    + text("os")
    + b"\x94"
    + text("OrderedDict")
    + b"q\x03"
    + text("system")
    + b"q\x030h\x01h\x03\x93("
    + text(TOUCH)
    + b"tR.",
    "names of Python 2's kind": b"\x80\x04U\x02osU\x06system\x93(" + text(TOUCH) + b"tR.",
    "a name made by str": b"\x80\x04"
    + text("builtins")
    + text("str")
    + b"\x93("
    + b"C\x02os"
    + text("utf8")
    + b"tR"
    + text("system")
    + b"\x93("
    + text(TOUCH)
    + b"tR.",
    "a sixth pickle behind torch's five": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    + b"\x80\x02N." * 4
    + CALLS["os.system"],
    "old torch, danger in its second pickle": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    + CALLS["os.system"]
    + b"\0" * 100,
}
_PICKLE_RULES = {
    "counted on behind a hole": "pickle.memo",
    "a name made by str": "pickle.unnamed",
    "a name after POP and DUP": "pickle.unnamed", "a memo from far away": "pickle.import", "an extension code": "pickle.extension",
    "bytes behind the pickle": "pickle.trailing", "a length of 2^63": "pickle.broken", "a length beyond the end": "pickle.broken",
    "cut in the middle": "pickle.broken", "an opcode that is none": "pickle.broken", "no pickle at all": "pickle.broken",
    "nothing": "pickle.broken",
}  # fmt: skip


def pickles() -> list[Sample]:
    found = [Sample(f"{what}.pkl", data, "pickle.import") for what, data in CALLS.items()]
    found += [Sample(f"{what}.pkl", data, _PICKLE_RULES.get(what, "pickle.import")) for what, data in PICKLES.items()]
    evil = CALLS["os.system"]
    array = io.BytesIO()
    np.save(array, np.array([None], dtype=object))
    objects = array.getvalue()[: array.getvalue().index(b"\n") + 1] + evil
    long_name = b"N0\x80\x04cos\n" + b"path.os." * 40 + b"system\n(S" + repr(TOUCH).encode() + b"\ntR."
    behind = b"cposix\nsystem\n(S" + repr(TOUCH).encode() + b"\ntR."
    frame = b"\x80\x04\x95" + (140_004).to_bytes(8, "little")
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    # Each of these was run by some unpickler while a walk took it to end, or to break off, elsewhere.
    found += [
        Sample("frames.pt", magic + frame + b"M\xe9\x03.N.N.N." + bytes(139_996) + behind + b"N.", "pickle.frame"),
        Sample(
            "frames.pkl",
            frame + b"N.B" + (139_998).to_bytes(4, "little") + bytes(139_998) + behind + b".",
            "pickle.frame",
        ),
        *(
            Sample(f"number{n}.bin", b"Np" + number + b"\n0" + behind, "pickle.import")
            for n, number in enumerate((b"+0", b" 0", b"1_0", b"0" * 16))
        ),
        Sample("fetched.bin", b"Np0\n0g+0\n0" + behind, "pickle.import"),
        Sample("zeros.bin", b"Np" + b"0" * 300 + b"\n0" + behind, "pickle.broken"),
        Sample("long.bin", long_name, "pickle.broken"),
        Sample("class.bin", b"ievilmod\nx\n.", "pickle.import"),
        Sample("no name.bin", b"cevilmod\na-b\n.", "pickle.broken"),
        Sample("early", b"\x80\x01" + behind, "pickle.import"),
    ]
    found += [
        Sample("doubtful.bin", old_call("os", "system", TOUCH), "pickle.import"),
        Sample("paths.pth", old_call("os", "system", TOUCH), "pickle.import"),
        Sample("model.pkl.gz", gzip.compress(evil), "pickle.import"),
        Sample("model.pkl.bz2", bz2.compress(evil), "pickle.import"),
        Sample("model.pkl.xz", lzma.compress(evil), "pickle.import"),
        Sample("model.joblib", zlib.compress(evil), "pickle.import"),
        Sample("wrong-sum.z", zlib.compress(evil)[:-4] + bytes(4), "archive.broken"),
        Sample("wrong-sum.pkl.z", zlib.compress(evil + bytes(9))[:-4] + bytes(4), "pickle.import"),
        Sample(
            "cut.sav", zlib.compress(evil[:-1] + np.random.default_rng(1).bytes(300_000))[:-50_000], "archive.broken"
        ),
        Sample("wrong-sum.bin", zlib.compress(tarred(("model.pkl", evil)))[:-4] + bytes(4), "archive.broken"),
        Sample("twice.gz", gzip.compress(gzip.compress(evil)), "pickle.import"),
        Sample("model.pt", zipped(("archive/data.pkl", evil), ("archive/data/0", bytes(64))), "pickle.import"),
        Sample("deflated.pt", zipped(("archive/data.pkl", evil), kind=zipfile.ZIP_DEFLATED), "pickle.import"),
        Sample("any-name.txt", zipped(("archive/data.pkl", evil)), "pickle.import"),
        Sample("objects.npy", objects, "pickle.import"),
        Sample("objects.npz", zipped(("x.npy", objects)), "pickle.import"),
        Sample("nested.zip", zipped(("inner.zip", zipped(("model.pkl", evil)))), "pickle.import"),
        Sample("inside.tar", tarred(("model.pkl", evil)), "pickle.import"),
        Sample("inside.tar.gz", gzip.compress(tarred(("model.pkl", evil))), "pickle.import"),
    ]
    return found


# --- archives --------------------------------------------------------------------------------------------------------


def zipped(*members: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of two members with one name
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, kind)
    return out.getvalue()


def tarred(*members: tuple[str, bytes | str]) -> bytes:
    """A text instead of bytes is what a symbolic link points at."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            told = tarfile.TarInfo(name)
            if isinstance(data, str):
                told.type, told.linkname = tarfile.SYMTYPE, data
                archive.addfile(told)
            else:
                told.size = len(data)
                archive.addfile(told, io.BytesIO(data))
    return out.getvalue()


def zeros(n_mib: int) -> bytes:
    """So many MiB of zeros as deflate writes them."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    one = machine.compress(bytes(1 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    return one * n_mib + b"\x03\x00"


def gz_bomb(n_mib: int) -> bytes:
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + zeros(n_mib) + bytes(8)


def zip_bomb(n_mib: int) -> bytes:
    data = zeros(n_mib)
    told = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(data), n_mib << 20, 5, 0)
    local = b"PK\3\4" + told + b"zeros" + data
    entry = b"PK\1\2" + struct.pack("<H", 20) + told + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"zeros"
    return local + entry + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)


def archives() -> list[Sample]:
    plain = zipped(("a.txt", b"one"), ("b.txt", b"two"))
    lying = bytearray(plain)
    lying[30:35] = b"z.txt"  # the header before the member; the directory says a.txt
    cut = bytearray(plain)
    cut[-6:-2] = struct.pack("<I", 1)
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(link, "../../etc/passwd")
    device = tarfile.TarInfo("null")
    device.type = tarfile.CHRTYPE
    devices = io.BytesIO()
    with tarfile.open(fileobj=devices, mode="w") as tar:
        tar.addfile(device)
    encrypted = bytearray(zipped(("a.txt", b"one")))
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    deep = b"x"
    for _ in range(6):
        deep = zipped(("inner.zip", deep))
    hidden = zipped(("secret.pkl", CALLS["os.system"]))
    second = hidden[: hidden.index(b"PK\1\2")]
    first = zipped(("a.txt", b"one"))
    at = first.index(b"PK\1\2")
    end = bytearray(first[at:])
    end[-6:-2] = struct.pack("<I", at + len(second))
    return [
        Sample("up.zip", zipped(("../../x", b"x")), "archive.traversal"),
        Sample("absolute.zip", zipped(("/etc/x", b"x")), "archive.traversal"),
        Sample("backslash.zip", zipped(("a\\..\\..\\x", b"x")), "archive.traversal"),
        Sample("drive.zip", zipped(("C:/x", b"x")), "archive.traversal"),
        Sample("double.zip", zipped(("a", b"1"), ("a", b"2")), "archive.duplicate"),
        Sample("lying.zip", bytes(lying), "archive.lies"),
        Sample("elsewhere.zip", bytes(cut), "archive.lies"),
        Sample("before.zip", b"#!/bin/sh\n" + plain, "archive.lies"),
        Sample("hidden.zip", first[:at] + second + bytes(end), "archive.hidden"),
        Sample("two-ends.zip", plain + zipped(("c.txt", b"x")), "archive.lies"),
        Sample("link.zip", out.getvalue(), "archive.link"),
        Sample("bomb.zip", zip_bomb(1100), "archive.bomb"),
        Sample("encrypted.zip", bytes(encrypted), "archive.closed"),
        Sample("deep.zip", deep, "archive.deep"),
        Sample("none.zip", b"no zip", "archive.broken"),
        Sample("up.tar", tarred(("../x", b"x")), "archive.traversal"),
        Sample("absolute.tar", tarred(("/etc/x", b"x")), "archive.traversal"),
        Sample("link.tar", tarred(("link", "/etc"), ("link/x", b"x")), "archive.link"),
        Sample("uplink.tar", tarred(("a/link", "../../x")), "archive.link"),
        Sample("device.tar", devices.getvalue(), "archive.link"),
        Sample("double.tar", tarred(("a", b"1"), ("a", b"2")), "archive.duplicate"),
        Sample("cut.tar", tarred(("a", bytes(2000)))[:1500], "archive.lies"),
        Sample("bomb.gz", gz_bomb(300), "archive.bomb"),
        Sample("cut.gz", gzip.compress(bytes(100_000) + b"x")[:-12], "archive.broken"),
    ]


# --- weights ---------------------------------------------------------------------------------------------------------


def safetensors(head: dict[str, Any] | str, data: bytes) -> bytes:
    raw = (head if isinstance(head, str) else json.dumps(head)).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def tensor(start: int, end: int, *, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": [(end - start) // 4], "data_offsets": [start, end]}


def gguf(
    *,
    keys: bytes = b"",
    n_keys: int = 0,
    tensors: list[tuple[str, int, int]] | None = None,
    data: bytes = b"",
    n_tensors: int | None = None,
) -> bytes:
    """``tensors`` are (name, values of F32, offset)."""
    tensors = tensors or []
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors) if n_tensors is None else n_tensors, n_keys) + keys
    for name, count, offset in tensors:
        out += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<IQIQ", 1, count, 0, offset)
    return out + bytes(-len(out) % 32) + data


def gguf_text(key: str, value: str) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IQ", 8, len(value.encode())) + value.encode()


def field(number: int, data: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    length, tail = len(data), b""
    while length > 127:
        tail += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + tail + bytes([length]) + data


def onnx(location: str | None = None) -> bytes:
    pair = b"" if location is None else field(13, field(1, b"location") + field(2, location.encode()))
    return b"\x08\x08" + field(7, field(5, b"\x10\x01" + field(9, b"\0\0\0\0") + pair))


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(20_000)), "t": ["text"] * 20_000}), out, row_group_size=5000)
    return out.getvalue()


def weights() -> list[Sample]:
    whole = safetensors({"a": tensor(0, 8)}, bytes(8))
    table = parquet()
    length = int.from_bytes(table[-8:-4], "little")
    head, footer = table[: -8 - length], table[-8 - length :]
    unsafe = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    return [
        Sample("trailing.safetensors", whole + b"x", "weights.trailing"),
        Sample("hole.safetensors", safetensors({"a": tensor(0, 8), "b": tensor(16, 24)}, bytes(24)), "weights.hole"),
        Sample(
            "overlap.safetensors", safetensors({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)), "weights.overlap"
        ),
        Sample("outside.safetensors", safetensors({"a": tensor(0, 80)}, bytes(8)), "weights.outside"),
        Sample("shape.safetensors", safetensors({"a": tensor(0, 8) | {"shape": [3]}}, bytes(8)), "weights.lengths"),
        Sample(
            "negative.safetensors",
            safetensors({"a": tensor(0, 8) | {"data_offsets": [-8, 8]}}, bytes(8)),
            "weights.head",
        ),
        Sample(
            "double.safetensors",
            safetensors('{"a":%s,"a":%s}' % ((json.dumps(tensor(0, 8)),) * 2), bytes(8)),
            "weights.head",
        ),
        Sample("long-head.safetensors", struct.pack("<Q", 1 << 62) + b"{}", "weights.lengths"),
        Sample(
            "deep.safetensors",
            safetensors('{"__metadata__":' + "[" * 100_000 + "]" * 100_000 + "}", b""),
            "weights.head",
        ),
        Sample("pickle.safetensors", CALLS["os.system"], "weights.lengths"),
        Sample("trailing.gguf", gguf(tensors=[("a", 8, 0)], data=bytes(32) + b"x" * 40), "weights.trailing"),
        Sample("outside.gguf", gguf(tensors=[("a", 8, 1 << 40)], data=bytes(32)), "weights.outside"),
        Sample("overlap.gguf", gguf(tensors=[("a", 8, 0), ("b", 8, 0)], data=bytes(32)), "weights.overlap"),
        Sample("counts.gguf", gguf(n_tensors=1 << 60), "weights.lengths"),
        Sample("keys.gguf", gguf(n_keys=1 << 60), "weights.lengths"),
        Sample("template.gguf", gguf(keys=gguf_text("tokenizer.chat_template", unsafe), n_keys=1), "template.unsafe"),
        Sample("outside.onnx", onnx("../../etc/passwd"), "weights.link"),
        Sample("cut.onnx", onnx()[:-2], "weights.outside"),
        Sample("footer.parquet", head + footer[:-8] + struct.pack("<I", 1 << 30) + b"PAR1", "weights.lengths"),
        Sample("moved.parquet", head + bytes(200_000) + footer, "weights.hole"),
        Sample("cut.parquet", head[:1000] + footer, "weights.outside"),
        Sample("none.parquet", b"PAR1 and nothing", "weights.head"),
    ]


# --- models that carry code, templates, configurations ---------------------------------------------------------------


def keras(layer: dict[str, Any]) -> bytes:
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}}
    return zipped(("config.json", json.dumps(config).encode()), ("metadata.json", b"{}"))


def others() -> list[Sample]:
    def template(body: str) -> bytes:
        return json.dumps({"chat_template": body}).encode()

    loop = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return [
        Sample("lambda.keras", keras({"module": "keras.layers", "class_name": "Lambda", "config": {}}), "keras.lambda"),
        Sample("module.keras", keras({"module": "os", "class_name": "system", "config": {}}), "keras.module"),
        Sample(
            "lambda.h5", b"\x89HDF\r\n\x1a\n" + bytes(3000) + b'{"class_name": "Lambda", "config": {}}', "keras.lambda"
        ),
        Sample("config.json", b'{"auto_map": {"AutoModel": "evil/code--modeling.Net"}}', "config.remote"),
        Sample("a/config.json", b'{"a": 1, "a": 2}', "json.double"),
        Sample("b/config.json", b"[" * 100_000 + b"]" * 100_000, "json.deep"),
        Sample("tokenizer_config.json", template("{{ cycler.__init__.__globals__.os.popen('x') }}"), "template.unsafe"),
        Sample("b/tokenizer_config.json", template("{{ messages|attr('__class__') }}"), "template.unsafe"),
        Sample(
            "c/tokenizer_config.json", template("{% for i in range(1000000000) %}x{% endfor %}"), "template.endless"
        ),
        Sample(
            "d/tokenizer_config.json", template("{% for i in range(10000 * 10000) %}x{% endfor %}"), "template.endless"
        ),
        Sample(
            "e/tokenizer_config.json",
            template("{% if 'bank' in messages[0]['content'] %}Pay here{% endif %}" + loop),
            "template.trigger",
        ),
        Sample(
            "f/tokenizer_config.json",
            template("{% if messages[-1].content.startswith('hello') %}x{% endif %}"),
            "template.trigger",
        ),
        Sample("g/tokenizer_config.json", template("{% if x %}"), "template.unread"),
        Sample("chat_template.jinja", b"{% include '/etc/passwd' %}", "template.unsafe"),
    ]


def ordinary_models() -> list[Sample]:
    tensors = OrderedDict(weight=np.arange(6.0).reshape(2, 3), step=7)
    array = io.BytesIO()
    np.savez_compressed(array, a=np.arange(10), b=np.zeros((3, 4)))
    template = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    return [
        Sample("plain.pkl", pickle.dumps({"a": [1, 2.5, "text", None, True], "b": (b"x" * 1000, {1, 2})}), ""),
        Sample("arrays.pkl", pickle.dumps(tensors), ""),
        Sample("arrays-2.pkl", pickle.dumps(tensors, 2), ""),
        Sample(
            "model.pt",
            zipped(
                ("archive/data.pkl", pickle.dumps(tensors, 2)),
                ("archive/data/0", bytes(4096)),
                ("archive/version", b"3\n"),
            ),
            "",
        ),
        Sample("arrays.npz", array.getvalue(), ""),
        Sample("tokens.bin", b"q\xd7" + bytes(range(256)) * 4, ""),  # as one file of random bytes in a hundred begins
        Sample("weights.bin", b"r\x01\x02\xb3\x3c" + bytes(range(256)) * 4, ""),
        Sample(
            "model.safetensors",
            safetensors({"__metadata__": {"format": "pt"}, "a": tensor(0, 8), "b": tensor(8, 24)}, bytes(24)),
            "",
        ),
        Sample(
            "model.gguf",
            gguf(
                keys=gguf_text("tokenizer.chat_template", template),
                n_keys=1,
                tensors=[("a", 8, 0), ("b", 8, 32)],
                data=bytes(64),
            ),
            "",
        ),
        Sample("model.onnx", onnx("weights.bin"), ""),
        Sample("table.parquet", parquet(), ""),
        Sample("layers.keras", keras({"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}}), ""),
        Sample("data.zip", zipped(("a/b.txt", b"text"), ("a/c.txt", b"more" * 1000), kind=zipfile.ZIP_DEFLATED), ""),
        Sample("data.tar.gz", gzip.compress(tarred(("a/b.txt", b"text"), ("a/link", "b.txt"))), ""),
        Sample("tokenizer_config.json", json.dumps({"chat_template": template}).encode(), ""),
        Sample("README.md", b"# Title\n\nText with `code`.\n", ""),
    ]
