"""The tree against RFC 6962 as it is written, the reference vectors of others, and tampering with any part of a proof."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.ledger.tree import (
    EMPTY_ROOT,
    Edge,
    TileTruncated,
    Tree,
    check_consistency,
    check_inclusion,
    leaf_hash,
    pack_entries,
    parse_tile_path,
    split_hashes,
    tile_path,
    tile_width,
    unpack_entries,
)

# The leaves and roots that implementations of Certificate Transparency test with.
REFERENCE = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def plain_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


class Grown:
    """A tree grown leaf by leaf, with the tiles that it gave."""

    def __init__(self, n: int) -> None:
        self.leaves = [leaf_hash(str(number).encode()) for number in range(n)]
        self.edge = Edge()
        self.tiles: dict[tuple[int, int], bytes] = {}
        for one in self.leaves:
            for full in self.edge.append(one):
                self.tiles[full.level, full.index] = full.hashes

    def read(self, level: int, index: int, width: int) -> bytes:
        found = self.tiles.get((level, index))
        return (b"".join(self.edge.levels[level]) if found is None else found)[: width * 32]


GROWN = Grown(66_000)


def test_the_reference_vectors() -> None:
    edge = Edge()
    assert edge.root() == EMPTY_ROOT
    for size, leaf in enumerate(REFERENCE, start=1):
        edge.append(leaf_hash(bytes.fromhex(leaf)))
        assert edge.root().hex() == ROOTS[size]


@given(st.integers(min_value=0, max_value=1100))
def test_a_root_out_of_tiles_is_the_one_of_the_definition(size: int) -> None:
    assert Tree(size, GROWN.read).root() == plain_root(GROWN.leaves[:size])


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_000])
def test_roots_around_the_ends_of_tiles(size: int) -> None:
    assert Tree(size, GROWN.read).root() == plain_root(GROWN.leaves[:size])


def test_what_an_edge_keeps_is_enough_to_grow_on() -> None:
    for size in (0, 1, 255, 256, 700, 65_536, 65_999):
        levels = []
        level = 0
        while size >> (8 * level):
            n = size >> (8 * level)
            width = n % 256
            levels.append(split_hashes(GROWN.read(level, n // 256, width)) if width else [])
            level += 1
        edge = Edge(size, levels)
        assert edge.root() == Tree(size, GROWN.read).root()
        for one in GROWN.leaves[size : size + 3]:
            edge.append(one)
        assert edge.root() == plain_root(GROWN.leaves[: size + 3]) if size < 66_000 - 3 else True


@given(st.integers(min_value=1, max_value=66_000), st.data())
def test_every_leaf_is_proven_and_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    tree = Tree(size, GROWN.read)
    proof, root = tree.inclusion_proof(index), tree.root()
    assert len(proof) <= size.bit_length()
    assert check_inclusion(GROWN.leaves[index], index, size, proof, root)
    assert not check_inclusion(leaf_hash(b"another"), index, size, proof, root)
    assert not check_inclusion(GROWN.leaves[index], index, size, [*proof, bytes(32)], root)
    if size > 1:
        assert not check_inclusion(GROWN.leaves[index], index, size, proof[:-1], root)
        assert not check_inclusion(GROWN.leaves[index], (index + 1) % size, size, proof, root)


@given(st.integers(min_value=0, max_value=66_000), st.data())
def test_what_has_grown_is_proven_and_what_was_changed_is_not(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(min_value=0, max_value=size))
    tree = Tree(size, GROWN.read)
    proof, root, old_root = tree.consistency_proof(old), tree.root(), Tree(old, GROWN.read).root()
    assert check_consistency(old, old_root, size, root, proof)
    if old:
        assert not check_consistency(old, bytes(32), size, root, proof)
        assert not check_consistency(old, old_root, size, bytes(32), proof)
    assert not check_consistency(old, old_root, size, root, [*proof, bytes(32)])
    if proof:
        at = data.draw(st.integers(min_value=0, max_value=len(proof) - 1))
        spoiled = [*proof[:at], bytes(32), *proof[at + 1 :]]
        assert not check_consistency(old, old_root, size, root, spoiled)
        assert not check_consistency(old, old_root, size, root, proof[:-1])
    assert not check_consistency(size + 1, root, size, root, [])


def test_a_tile_that_was_cut_off_is_noticed() -> None:
    tree = Tree(300, lambda level, index, width: GROWN.read(level, index, width)[:-1])
    with pytest.raises(TileTruncated, match="should hold"):
        tree.root()


@given(st.one_of(st.sampled_from(["entries"]), st.integers(0, 63)), st.integers(0, 10**15), st.integers(1, 256))
def test_a_path_names_one_tile(level: int | str, index: int, width: int) -> None:
    path = tile_path(level, index, width)
    told = parse_tile_path(path.removeprefix("tile/"))
    assert told == (None if level == "entries" else level, index, width)


def test_the_path_of_the_specification() -> None:
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path("entries", 5, 7) == "tile/entries/005.p/7"
    assert [tile_width(70_000, level, index) for level, index in ((0, 273), (0, 272), (1, 1), (2, 0))] == [
        112,
        256,
        17,
        1,
    ]


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/", "0/1", "0/0001", "00/001", "64/001", "0/001.p/0", "0/001.p/256", "0/001.p/01", "0/x000/001",
     "0/001/002", "0/x01/001", "-1/001", "0/x001/x002/x003/x004/x005/x006/001", "entries/٠٠١", "0/001.p/", "a/001"],
)  # fmt: skip
def test_no_other_path_is_one(path: str) -> None:
    assert parse_tile_path(path) is None


@given(st.text(max_size=60))
def test_any_text_is_a_path_or_not(text: str) -> None:
    told = parse_tile_path(text)
    if told is not None:
        level, index, width = told
        assert tile_path("entries" if level is None else level, index, width) == f"tile/{text}"


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    bundle = pack_entries(entries)
    assert list(unpack_entries(bundle)) == entries
    if entries:
        with pytest.raises(ValueError, match="in the middle"):
            list(unpack_entries(bundle[: len(bundle) - len(entries[-1]) - 1]))


@given(st.binary(max_size=400))
def test_any_bytes_are_entries_or_refused(data: bytes) -> None:
    try:
        entries = list(unpack_entries(data))
    except ValueError:
        return
    assert pack_entries(entries) == data


def test_an_edge_of_another_size_is_refused() -> None:
    rng = random.Random(1)
    with pytest.raises(ValueError, match="does not belong"):
        Edge(3, [[rng.randbytes(32)]])
    with pytest.raises(ValueError, match="lacks levels"):
        Edge(300, [[rng.randbytes(32)] * 44])
