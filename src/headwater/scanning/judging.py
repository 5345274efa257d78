"""Which judges look at a file: all that its name or its first bytes speak for, since loaders go by either."""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Callable

from headwater.scanning import (
    arrow,
    gguf,
    images,
    keras,
    npy,
    old_pickles,
    onnx,
    parquet,
    pickles,
    rules,
    safetensors,
    squeezed,
    tars,
    texts,
    zips,
)
from headwater.scanning.members import MAX_DEPTH, Tally
from headwater.scanning.models import Finding, Judgement, Verdict, together
from headwater.scanning.reading import Bytes, Forward, Memory
from headwater.scanning.roles import DECEPTIVE, UNPACKED, role_of

MAX_HELD_BYTES = 64 << 20  # of a compressed member whose format must be read by place
_HEAD_BYTES = 1024
_TAIL_BYTES = 66 << 10  # a zip's directory ends within

_PATHS = re.compile(rb"[\t\n\r -~]{3,}")

_Judge = Callable[[Bytes], Judgement]
_BY_ROLE: dict[str, _Judge] = {
    "safetensors": safetensors.judge,
    "gguf": gguf.judge,
    "onnx": onnx.judge,
    "parquet": parquet.judge,
    "npy": npy.judge,
    "arrow": arrow.judge,
    "hdf5": keras.judge_hdf5,
    "closed": squeezed.judge_closed,
    "config": texts.judge_config,
    "results": texts.judge_results,
    "card": texts.judge_card,
    "template": texts.judge_template,
    "notebook": texts.judge_notebook,
    "html": texts.judge_markup,
    "svg": texts.judge_markup,
    "table": texts.judge_table,
}
_HARMLESS = frozenset({"notebook", "html", "svg", "table"})  # told what they are, never a finding
_BY_HEAD: dict[bytes, _Judge] = {
    b"GGUF": gguf.judge,
    parquet.MAGIC: parquet.judge,
    npy.MAGIC: npy.judge,
    keras.HDF5: keras.judge_hdf5,
    arrow.MAGIC: arrow.judge,
    b"7z\xbc\xaf\x27\x1c": squeezed.judge_closed,
    b"Rar!\x1a\x07": squeezed.judge_closed,
    **dict.fromkeys(images.MAGICS, images.judge),
}


def judge(path: str, source: Bytes) -> Judgement:
    """Judge one file by everything that a loader could take it for; of its path only ``role_of(path)`` counts.

    Memory is bounded by a few MiB, and ``MAX_HELD_BYTES`` where an archive holds what must be read by place; time by the file's length
    and what its archives unpack to. Raises what ``source`` raises, and nothing of its own.
    """
    role = role_of(path)
    try:
        judged = _File(Tally()).judge(role.removesuffix(DECEPTIVE), source, 0)
    except (
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        struct.error,
        zlib.error,
    ) as exc:
        judged = Judgement(
            (Finding(rules.NOT_JUDGED, type(exc).__name__),)
        )  # a mistake of ours is no proof of innocence
    if role.endswith(DECEPTIVE):
        judged = together([judged, Judgement((Finding(rules.NAME_DECEPTIVE),))])
    return judged


class _File:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def judge(self, role: str, source: Bytes | Forward, depth: int, *, is_keras: bool = False) -> Judgement:
        if isinstance(source, Forward):
            return self._forward(role, source, depth, is_keras=is_keras)
        head = source.read_at(0, _HEAD_BYTES)
        judges = dict.fromkeys(judge for magic, judge in _BY_HEAD.items() if head.startswith(magic))
        if (by_role := _BY_ROLE.get(role)) is not None:
            judges[by_role] = None
        found = [each(source) for each in judges]
        if role == "config" and is_keras:
            found.append(keras.judge_config(source.read_at(0, texts.MAX_JSON)))
        kind = squeezed.kind_of(head)
        is_zip, is_tar = (
            zips.is_zip(head) or role in ("zip", "keras"),
            tars.is_tar(head) or (role == "tar" and kind is None),
        )
        if is_zip:
            found.append(
                self._archive(depth, lambda inner: zips.judge(source, inner, self._tally), is_keras=role == "keras")
            )
        elif is_tar:
            found.append(self._archive(depth, lambda inner: tars.judge(source, inner)))
        elif kind is not None:
            found.append(self._squeezed(role, source, kind, depth))
        elif role not in _BY_ROLE and zips.ends_as_zip(
            source.read_at(max(0, source.size_bytes - _TAIL_BYTES), _TAIL_BYTES)
        ):
            found.append(self._behind(source, depth))
        is_explained = bool(judges) or is_zip or is_tar or (kind is not None and any(judged.kinds for judged in found))
        found += self._pickle(role, head, source, is_explained=is_explained)
        return together(found)

    def _pickle(
        self, role: str, head: bytes, source: Bytes | Forward, *, is_explained: bool = False
    ) -> list[Judgement]:
        """The file as a pickle, if its name or its beginning lets a loader try. Bytes can be a picture and a pickle at once, so what
        explains them otherwise only takes away that they must be one.
        """
        if not _may_be_pickle(role, head):
            return []
        # lines for Python's search path have that name too
        is_paths = role == "pickle or paths" and _PATHS.fullmatch(head)
        is_named = role in ("pickle", "torch", "pickle or paths") and not is_paths
        is_certain = not is_explained and (is_named or (role == "pickle?" and _is_begun(head)))
        return [pickles.judge(source, is_certain=is_certain, may_be_torch=role != "pickle")]

    def _archive(self, depth: int, look: Callable[..., Judgement], *, is_keras: bool = False) -> Judgement:
        if depth >= MAX_DEPTH:
            return Judgement((Finding(rules.ARCHIVE_DEEP),))
        return look(
            lambda name, source: self.judge(role_of(name).removesuffix(DECEPTIVE), source, depth + 1, is_keras=is_keras)
        )

    def _squeezed(self, role: str, source: Bytes, kind: str, depth: int) -> Judgement:
        if depth >= MAX_DEPTH:
            return Judgement((Finding(rules.ARCHIVE_DEEP),))
        inner = role.removesuffix(UNPACKED)
        return squeezed.judge(source, kind, lambda stream: self.judge(inner, stream, depth + 1), self._tally)

    def _behind(self, source: Bytes, depth: int) -> Judgement:
        """A file that is no archive by its name or beginning, and is one to those who read from the end."""
        judged = self._archive(depth, lambda inner: zips.judge(source, inner, self._tally))
        kept = tuple(finding for finding in judged.findings if finding.rule.verdict is not Verdict.REFUSED)
        return Judgement(
            (Finding(rules.ARCHIVE_HIDDEN, "a zip archive at its end"), *kept), judged.imports, judged.kinds
        )

    def _forward(self, role: str, stream: Forward, depth: int, *, is_keras: bool) -> Judgement:
        """A compressed member: pickles and tars are judged as they come out, what must be read by place is held, anything else is left."""
        first = b""
        while len(first) < _HEAD_BYTES and (more := stream.more()):
            first += more
        again = Forward(itertools.chain([first] if first else [], iter(stream.more, b"")))
        head = first[:_HEAD_BYTES]
        if head.startswith(tuple(images.MAGICS)) and not role.startswith(("pickle", "torch")):
            return images.judge(Memory(first))
        kind = squeezed.kind_of(head)
        is_tar = tars.is_tar(head) or (role == "tar" and kind is None)
        is_two = is_tar and _may_be_pickle(role, head)  # asked twice, what comes once has to be held
        if is_tar and not is_two:
            return self._archive(depth, lambda inner: tars.judge(again, inner))
        if not (
            is_two
            or (role in _BY_ROLE and role not in _HARMLESS)
            or role in ("zip", "keras")
            or head.startswith(tuple(_BY_HEAD))
            or zips.is_zip(head)
            or kind not in (None, "zlib")
        ):
            return together(self._pickle(role, head, again))
        data = again.rest(MAX_HELD_BYTES)
        if data is None:
            return Judgement((Finding(rules.ARCHIVE_DEEP, f"larger than {MAX_HELD_BYTES} bytes"),))
        return self.judge(role, Memory(data), depth, is_keras=is_keras)


def _is_begun(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x80 and head[1] <= 5


def _may_be_pickle(role: str, head: bytes) -> bool:
    """Its name or its beginning lets a loader try."""
    return role in ("pickle", "torch", "pickle or paths", "pickle?") or _is_begun(head) or old_pickles.may_be_one(head)
