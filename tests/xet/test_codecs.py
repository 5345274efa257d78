"""Hashes against the real client's own, and parsers that give a value or a declared error whatever they are fed."""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
from array import array
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.blobs import BlobFolder, read_all
from headwater.hub.files.terms import Term, XetSource, from_text, pack_terms, to_text, unpack_terms
from headwater.hub.xet.errors import BadShard, BadXorb
from headwater.hub.xet.hashes import NODE_KEY, Tree, chunk_hash, file_hash, iter_asked_about, merkle_root
from headwater.hub.xet.receiving import LZ4_HEADS, FramedFile, PlainFile, receive_xorb, unpack_lz4
from headwater.hub.xet.shards import build_dedup_shard, parse_shard
from headwater.hub.xet.xorbs import MAX_CHUNK, FramedXorb, XorbIndex, index_key, read_index

KEEP = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frame(data: bytes, scheme: int) -> bytes:
    packed = data
    if scheme == 2:
        planes = np.frombuffer(data, np.uint8)
        packed = b"".join(planes[lane::4].tobytes() for lane in range(4))
    if scheme:
        packed = lz4.frame.compress(packed, content_checksum=False, store_size=False)
    return struct.pack("<II", len(packed) << 8, len(data) << 8 | scheme) + packed


def reading(body: bytes, step: int = 1 << 30) -> Callable[[memoryview], int]:
    at = 0

    def read_into(window: memoryview) -> int:
        nonlocal at
        got = body[at : at + min(step, len(window))]
        window[: len(got)] = got
        at += len(got)
        return len(got)

    return read_into


def take(body: bytes, path: Path, step: int = 1 << 30) -> XorbIndex:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        return receive_xorb(reading(body, step), PlainFile(fd)).index
    finally:
        os.close(fd)


chunks = st.lists(
    st.tuples(st.binary(min_size=1, max_size=300), st.integers(1, 400), st.integers(0, 2)).map(
        lambda t: ((t[0] * t[1])[:MAX_CHUNK], t[2])
    ),
    min_size=1,
    max_size=40,
)


@KEEP
@given(chunks, st.integers(100, 1 << 20))
def test_a_xorb_comes_out_as_the_plain_bytes_it_was_made_of(tmp_path: Path, pieces, step: int) -> None:
    index = take(b"".join(frame(data, scheme) for data, scheme in pieces), tmp_path / "x.raw", step)
    plain = b"".join(data for data, _ in pieces)
    assert (tmp_path / "x.raw").read_bytes() == plain
    assert index.nodes() == [(chunk_hash(data), len(data)) for data, _ in pieces]
    (tmp_path / index_key("x.raw")).write_bytes(index.pack())
    assert read_index(BlobFolder(tmp_path), "x.raw") == index


@KEEP
@given(chunks, st.data())
def test_any_range_of_the_framed_form_is_that_range_of_the_whole(tmp_path: Path, pieces, data) -> None:
    index = take(b"".join(frame(one, scheme) for one, scheme in pieces), tmp_path / "x.raw")
    source = FramedXorb(index, BlobFolder(tmp_path), "x.raw")
    whole = b"".join(frame(one, 0) for one, _ in pieces)
    assert source.size_bytes == len(whole)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    assert read_all(source, start, end) == whole[start:end]


@KEEP
@given(st.binary(max_size=4000))
def test_any_bytes_are_a_xorb_or_refused(tmp_path: Path, body: bytes) -> None:
    with contextlib.suppress(BadXorb):
        take(body, tmp_path / "x.raw")


@KEEP
@given(chunks, st.data())
def test_a_damaged_xorb_is_refused_or_has_another_name(tmp_path: Path, pieces, data) -> None:
    body = bytearray(b"".join(frame(one, scheme) for one, scheme in pieces))
    name = take(bytes(body), tmp_path / "x.raw").name()
    at = data.draw(st.integers(0, len(body) - 1))
    cut = data.draw(st.booleans())
    damaged = bytes(body[:at]) if cut else bytes(body[:at] + bytes([body[at] ^ 0x41]) + body[at + 1 :])
    try:
        found = take(damaged, tmp_path / "y.raw").name()
    except BadXorb:
        return
    if found == name:  # a bit that means nothing to LZ4: the chunks are still the same
        assert (tmp_path / "y.raw").read_bytes() == (tmp_path / "x.raw").read_bytes()


def test_a_frame_that_unpacks_to_more_than_it_announced_is_refused(tmp_path: Path) -> None:
    for linked in (False, True):
        packed = lz4.frame.compress(bytes(50 << 20), store_size=False, block_linked=linked)
        bomb = struct.pack("<II", len(packed) << 8, 100 << 8 | 1) + packed
        with pytest.raises(BadXorb):
            take(bomb, tmp_path / "x.raw")
        assert (tmp_path / "x.raw").stat().st_size == 0


@pytest.mark.parametrize("block_size", [4, 5, 6, 7])
@pytest.mark.parametrize("linked", [False, True], ids=["independent", "linked"])
@pytest.mark.parametrize(
    "options", [{}, {"content_checksum": True}, {"block_checksum": True}, {"store_size": True}], ids=str
)
def test_every_frame_that_lz4_can_make_is_read(block_size: int, linked: bool, options: dict[str, bool]) -> None:
    plain = os.urandom(50_000) + bytes(70_000) + os.urandom(10) * 1000  # several small blocks, stored and packed
    made = {"store_size": False, **options}
    packed = lz4.frame.compress(plain, block_size=block_size, block_linked=linked, **made)
    assert unpack_lz4(memoryview(packed), len(plain)) == plain
    wrong = [
        (packed[:-1], 0),
        (packed + b"\0", 0),
        (packed, 1),
        (packed, -1),
        (packed[:7], 0),
        (packed[:-4], 0),
        (b"", 0),
    ]
    for bad, more in wrong:
        assert unpack_lz4(memoryview(bad), len(plain) + more) is None


def test_clients_frames_are_known_by_their_heads() -> None:
    """Those of the four block sizes, with independent blocks and nothing else: what is decoded without the frame layer."""
    for block_size, n_bytes in ((4, 64 << 10), (5, 256 << 10), (6, 1 << 20), (7, 4 << 20)):
        packed = lz4.frame.compress(bytes(n_bytes), block_size=block_size, block_linked=False, store_size=False)
        assert LZ4_HEADS[packed[:7]] == n_bytes


@KEEP
@given(chunks, st.integers(100, 1 << 20))
def test_a_xorb_can_be_kept_as_it_came(tmp_path: Path, pieces, step: int) -> None:
    frames = [frame(data, scheme) for data, scheme in pieces]
    body = b"".join(frames)
    with (tmp_path / "x.framed").open("wb") as out:
        received = receive_xorb(reading(body + b"XETBLOB" + bytes(5000), step), FramedFile(out.fileno()))
    assert (tmp_path / "x.framed").read_bytes() == body
    assert list(received.framed_lengths) == [len(one) for one in frames]
    assert received.index == take(body, tmp_path / "x.raw")


@given(st.lists(st.sampled_from([0, 1, 4, 8, 255]), min_size=2, max_size=60))
def test_the_chunks_that_clients_ask_about_are_found(lows: list[int]) -> None:
    digests = [bytes(24) + bytes([a, b]) + bytes(6) for a, b in itertools.pairwise(lows)]
    asked = [i for i, d in enumerate(digests) if int.from_bytes(d[24:], "little") % 1024 == 0]
    assert list(iter_asked_about(b"".join(digests))) == asked


def test_an_old_clients_footer_is_passed_over(tmp_path: Path) -> None:
    body = frame(b"one", 0) + frame(b"two", 1)
    assert take(body + b"XETBLOB" + bytes(5000), tmp_path / "x.raw") == take(body, tmp_path / "x.raw")


@given(st.binary(min_size=32, max_size=32))
def test_the_string_form_is_reversible(digest: bytes) -> None:
    text = to_text(digest)
    assert from_text(text) == digest
    assert text == b"".join(digest[i : i + 8][::-1] for i in (0, 8, 16, 24)).hex()


nodes = st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 1 << 17)), max_size=120)


@given(nodes)
def test_the_streamed_tree_is_the_one_of_the_specification(leaves) -> None:
    from blake3 import blake3

    level = leaves
    while len(level) > 1:
        above, at = [], 0
        while at < len(level):
            end = min(at + 9, len(level))
            for i in range(at + 2, end):
                if int.from_bytes(level[i][0][24:], "little") % 4 == 0:
                    end = i + 1
                    break
            text = "".join(f"{to_text(h)} : {n}\n" for h, n in level[at:end])
            above.append((blake3(text.encode(), key=NODE_KEY).digest(), sum(n for _, n in level[at:end])))
            at = end
        level = above
    assert merkle_root(leaves) == (level[0][0] if level else bytes(32))


@pytest.mark.parametrize("size", [0, 1, 100, 7_000, 8_192])
def test_file_hashes_are_those_of_the_real_client(tmp_path: Path, size: int) -> None:
    """Files below the least chunk size are one chunk, so that no chunker is needed to compare."""
    import hf_xet

    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    tree = Tree()
    tree.extend([(chunk_hash(path.read_bytes()), size)] if size else [])
    assert file_hash(tree.root()) == hf_xet.hash_files([str(path)])[0].hash


terms = st.lists(
    st.builds(
        Term,
        st.binary(min_size=32, max_size=32).map(to_text),
        st.integers(0, 8000),
        st.integers(0, 8192),
        st.integers(0, 1 << 26),
        st.integers(1, 1 << 26),
    ),
    max_size=20,
)


@given(terms)
def test_terms_come_back_as_they_were(made) -> None:
    assert unpack_terms(pack_terms(made)) == made


@KEEP
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 100)), max_size=12), st.data())
def test_any_range_of_a_xet_file_is_that_range_of_its_terms(tmp_path: Path, runs, data) -> None:
    payload = bytes(range(250)) * 4
    (tmp_path / "p").write_bytes(payload)
    name = to_text(bytes(32))
    source = XetSource([Term(name, 0, 1, offset, size) for offset, size in runs], BlobFolder(tmp_path), {name: "p"})
    whole = b"".join(payload[offset : offset + size] for offset, size in runs)
    assert source.size_bytes == len(whole)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    assert read_all(source, start, end) == whole[start:end]


@KEEP
@given(st.binary(max_size=500), st.booleans())
def test_any_bytes_are_a_shard_or_refused(body: bytes, with_head: bool) -> None:
    head = build_dedup_shard([], created=0, expires=0)[:48]
    with contextlib.suppress(BadShard):
        parse_shard(head + body if with_head else body)


@pytest.mark.parametrize("count", [1, 1000, (1 << 32) - 1])
def test_a_count_larger_than_what_follows_is_refused(count: int) -> None:
    head = build_dedup_shard([], created=0, expires=0)[:48]
    with pytest.raises(BadShard):
        parse_shard(head + struct.pack("<32sII8x", bytes(32), 0xC0000000, count))
    with pytest.raises(BadShard):
        parse_shard(head + b"\xff" * 32 + bytes(16) + struct.pack("<32sIIII", bytes(32), 0, count, 0, 0))


def test_a_dedup_answer_has_the_form_of_a_kept_shard() -> None:
    index = XorbIndex(bytes(64), array("I", [5, 7]))
    data = build_dedup_shard([(to_text(bytes(32)), index)], created=1, expires=2)
    assert parse_shard(data) == []
    assert struct.unpack_from("<QQQ", data, len(data) - 200) == (1, 48, 96)
    assert struct.unpack_from("<Q", data, len(data) - 8) == (len(data) - 200,)
