"""What a check finds, each kind of damage by itself; and that it finds nothing where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from headwater.hub.checking import Report, check
from headwater.hub.checking import store as kept
from headwater.hub.files.terms import payload_key
from headwater.kernel import XetHash
from tests.storage import Storage


def damage(storage: Storage, key: str, change: Callable[[bytearray], object]) -> None:
    """Other bytes under a key, as a bad disk or somebody with access to it leaves them."""
    blobs = storage.site.blobs
    data = bytearray(blobs.read_range(key, 0, 1 << 30))
    change(data)
    with blobs.temporary() as path:
        path.write_bytes(data)
        blobs.adopt(path, key)


def flip(at: int) -> Callable[[bytearray], None]:
    def act(data: bytearray) -> None:
        data[at] ^= 0x10

    return act


def sql(storage: Storage, statement: str, **values: object) -> None:
    storage.site.db.write(lambda tx: tx.execute(text(statement), values))


def rows(storage: Storage, statement: str) -> list:
    return list(storage.site.db.read(lambda tx: tx.execute(text(statement)).all()))


def codes(found: Report) -> set[str]:
    return {problem.code for problem in found.problems}


def object_of(storage: Storage, prefix: str, suffix: str = "") -> str:
    return next(one.key for one in storage.site.blobs.iter_keys(prefix) if one.key.endswith(suffix))


def test_nothing_is_wrong_with_a_sound_site(varied: Storage) -> None:
    found = check(varied.site)
    assert found.problems == []
    assert found.is_whole
    seen = found.seen
    assert seen.repositories == 2
    assert seen.refs == 7  # main, side, v1 of two repositories, and a pull request
    assert seen.packs > 10
    assert seen.files == 4
    assert seen.xorbs == 4
    assert seen.git_objects > 30
    assert seen.entries > 20
    assert seen.bytes > 2 * (300_000 + 2 * 100_000)
    assert check(varied.site, reads_bytes=False).problems == []


def test_every_object_is_read_and_its_loss_or_change_is_found(varied: Storage) -> None:
    blobs = varied.site.blobs
    keys = [one.key for one in blobs.iter_keys("sha256/")]
    keys += [one.key for kind in ("xet/", "git/") for one in blobs.iter_keys(kind)]
    assert len(keys) >= 2 + 8 + 4
    for key in keys:
        size = blobs.size_of(key)
        assert size is not None
        before = blobs.read_range(key, 0, size)
        damage(varied, key, flip(size // 2))
        found = check(varied.site)
        assert any(key in (problem.key, problem.where) or key in problem.what for problem in found.problems), key
        blobs.delete(key)
        assert any(problem.code.endswith(".missing") and problem.key == key for problem in check(varied.site).problems)
        assert not check(varied.site, reads_bytes=False).is_good
        with blobs.temporary() as path:
            path.write_bytes(before)
            blobs.adopt(path, key)
    assert check(varied.site).problems == []


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (
            (
                "update ref set oid = (select oid from ref r where r.name = 'refs/heads/side' and r.repo_id = ref.repo_id) "
                "where name = 'refs/heads/main'"
            ),
            "ref.differs",
        ),
        (
            "update ref set oid = '1234567890123456789012345678901234567890' where name = 'refs/heads/side'",
            "ref.unreachable",
        ),
        ("delete from ref where name = 'refs/tags/v1'", "ref.differs"),
        ("delete from ref where name like 'refs/pr/%'", "ref.differs"),
        ("delete from pack_bytes where pack_id = (select min(pack_id) from pack_bytes)", "pack.missing"),
        ("update pack set retired_at = 1 where id = (select min(id) from pack where is_inline)", "ref.unreachable"),
        ("update pack set n_objects = n_objects + 1 where id = (select min(id) from pack)", "pack.damaged"),
        ("update blob set size_bytes = size_bytes + 1 where layout = 'plain'", "blob.differs"),
        ("update blob set size_bytes = size_bytes + 1 where layout = 'xet'", "file.differs"),
        ("update blob set state = 'gone'", "blob.missing"),
        ("update blob set generation = generation + 1 where layout = 'plain'", "blob.missing"),
        ("update blob set layout = 'plain' where layout = 'xet'", "blob.missing"),
        ("update blob set xet_hash = null where layout = 'xet'", "file.differs"),
        ("update lfs_pointer set size_bytes = size_bytes + 1", "pointer.differs"),
        ("delete from lfs_pointer", "pointer.differs"),
        ("delete from file_right", "right.missing"),
        ("update xorb set n_chunks = n_chunks - 1", "xorb.differs"),
        ("update xorb set state = 'gone'", "xorb.missing"),
        ("update xet_file set n_terms = n_terms + 1", "file.differs"),
        ("delete from xet_file_xorb where xorb = (select min(xorb) from xet_file_xorb)", "file.differs"),
        ("update repository set head_commit = null where name = 'open'", "head.differs"),
        (
            (
                "update entry set leaf = replace(leaf, 'refs/heads/main', 'refs/heads/mine') "
                "where id = (select min(id) from entry where kind = 'ref.moved' and not is_private)"
            ),
            "ref.differs",
        ),
        (
            "update entry set kind = 'ref.kept' where id = (select max(id) from entry where kind = 'ref.moved')",
            "entry.differs",
        ),
        ("update entry set created_at = created_at + 1000000 where id = (select min(id) from entry)", "entry.differs"),
        ("update entry_secret set names = replace(names, 'refs/heads/main', 'refs/heads/mine')", "entry.differs"),
    ],
)
def test_a_row_that_says_something_else_is_found(varied: Storage, statement: str, code: str) -> None:
    sql(varied, statement.replace("'gone'", "'gone'"))
    assert code in codes(check(varied.site))


def test_other_bytes_in_a_row_of_a_pack_are_found(varied: Storage) -> None:
    kept = "select pack_id, pack_bytes.pack, idx from pack_bytes join pack on pack.id = pack_id join repository r on r.id = repo_id"
    for pack_id, data, idx in rows(varied, f"{kept} where deleted_at is null")[:4]:
        for column, value in (("pack", bytearray(data)), ("idx", bytearray(idx))):
            was = bytes(value)
            value[len(value) // 2] ^= 1
            sql(varied, f"update pack_bytes set {column} = :v where pack_id = :p", v=bytes(value), p=pack_id)
            assert "pack.damaged" in codes(check(varied.site))
            sql(varied, f"update pack_bytes set {column} = :v where pack_id = :p", v=was, p=pack_id)
    assert check(varied.site).is_good


def test_a_file_that_is_made_of_other_chunks_is_found(varied: Storage) -> None:
    (one, _), (other, terms) = rows(varied, "select xet_hash, terms from xet_file order by xet_hash")[:2]
    sql(varied, "update xet_file set terms = :t where xet_hash = :x", t=bytes(terms), x=one)
    assert any(problem.code == "file.differs" and problem.where == one for problem in check(varied.site).problems)
    assert other != one


def test_what_is_known_to_be_wrong_goes_when_a_whole_check_finds_it_mended(varied: Storage) -> None:
    db = varied.site.db
    name, generation = rows(varied, "select hash, generation from xorb order by hash")[0]
    key = payload_key(XetHash(name), generation)
    damage(varied, key, flip(77))
    check(varied.site)
    first = db.read(kept.list_problems)
    assert key in {known.key for known in first}
    assert db.read(kept.find_last, "check").is_good is False
    check(varied.site, reads_bytes=False)  # which does not read it
    assert {known.key for known in db.read(kept.list_problems)} == {known.key for known in first}
    damage(varied, key, flip(77))
    check(varied.site)
    assert db.read(kept.list_problems) == []
    assert db.read(kept.find_last, "check", is_good=True) is not None
    kinds = [kind for (kind,) in rows(varied, "select kind from entry order by id")]
    assert kinds.count("site.checked") == 2


def test_what_nobody_can_have_written_is_told_and_ends_no_check(varied: Storage) -> None:
    sql(varied, "update xet_file set terms = :t where xet_hash = (select min(xet_hash) from xet_file)", t=b"abc")
    sql(
        varied,
        "update pack set name = 'x' where id = (select max(id) from pack where is_inline and retired_at is null)",
    )
    sql(varied, "update blob set xet_hash = 'x', layout = 'xet' where layout = 'plain'")
    found = check(varied.site)
    assert {"file.differs", "file.unreadable"} & codes(found)
    assert not found.is_good
