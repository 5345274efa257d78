"""Files for the gate, from the samples of ``tests/scanning``: what others must not get, and what must not come in at all."""

from __future__ import annotations

import io
import json
import struct
import zipfile

from tests.scanning.samples import call

EVIL = call("os", "system", "touch this-was-run")
EVIL_CONFIG = json.dumps({"auto_map": {"AutoModel": "somebody/else--modeling.Net"}}).encode()
EVIL_TEXT = b"cos\nsystem\nRead on.\n"  # harmless as notes; under another name a pickle that imports, and breaks off


def safetensors(data: bytes = bytes(16), *, claimed: int | None = None) -> bytes:
    """One tensor; ``claimed`` says how many bytes it has, if not as many as there are."""
    head = {"x": {"dtype": "U8", "shape": [claimed or len(data)], "data_offsets": [0, claimed or len(data)]}}
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


LYING = safetensors(claimed=1 << 30)


def zipped(name: str, data: bytes, *, comment: bytes = b"") -> bytes:
    """A zip archive of one file; its comment stands in clear at its end."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, data)
        archive.comment = comment
    return made.getvalue()
