"""Somebody changes what the site keeps, behind its back: each change of what a revision, ref, verdict, entry or blob says is found.

One random change at a time in a copy of a site: a byte of an object or of a pack in its row, a row of another time or place, a row
less. 60 in the tests, as many as ``FAULTS`` says in ``make faults``. A change that changes nothing that is said is not one, and
another is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from headwater import ledger
from headwater.accounts import Action
from headwater.cli.open import open_site
from headwater.hub import gate
from headwater.hub.access import get_repository
from headwater.hub.checking import check
from headwater.hub.content import refs
from headwater.hub.content.draft import InlineFile, LargeFile
from headwater.hub.content.reading import open_revision
from headwater.hub.gate import jobs
from headwater.hub.gate.jobs import seal_verdicts
from headwater.hub.log.sequencing import bring_up_to_date
from headwater.hub.models import RepoName
from headwater.hub.releases import bundle
from headwater.hub.releases import service as releases
from headwater.hub.repos import service as repos
from headwater.kernel import SYSTEM, utcnow
from headwater.ledger.tree import Edge
from tests.checking.varied import CLOSED, MODEL, OPEN, commit, make_varied, put_plain
from tests.gate.files import EVIL, EVIL_CONFIG, EVIL_TEXT
from tests.growth import only_on_one_machine
from tests.storage import Storage

TAMPERS = int(os.environ.get("FAULTS", "60"))
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1 << 32)

pytestmark = [only_on_one_machine, pytest.mark.timeout(120 + 5 * TAMPERS)]

Raw = sqlite3.Connection
Tamper = Callable[[random.Random, Path, Raw], str | None]
"""Changes something; says what, or None where this time there was nothing to change."""


def one(rng: random.Random, raw: Raw, query: str) -> tuple | None:
    rows = raw.execute(query).fetchall()
    return rng.choice(rows) if rows else None


def flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def objects(data: Path) -> list[Path]:
    return sorted(p for kind in ("sha256", "xet", "git") for p in (data / "blobs" / kind).rglob("*") if p.is_file())


def byte_of_an_object(rng: random.Random, data: Path, raw: Raw) -> str:
    path = rng.choice(objects(data))
    path.write_bytes(flipped(rng, path.read_bytes()))
    return f"a bit of {path.name}"


def end_of_an_object(rng: random.Random, data: Path, raw: Raw) -> str:
    path = rng.choice(objects(data))
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.randrange(len(whole))] if rng.random() < 0.5 else whole + b"\0")
    return f"the end of {path.name}"


def loss_of_an_object(rng: random.Random, data: Path, raw: Raw) -> str:
    path = rng.choice(objects(data))
    path.unlink()
    return f"{path.name} is gone"


def one_object_for_another(rng: random.Random, data: Path, raw: Raw) -> str | None:
    path = rng.choice(objects(data))
    others = [p for p in objects(data) if p.suffix == path.suffix and p.read_bytes() != path.read_bytes()]
    if not others:
        return None
    path.write_bytes(rng.choice(others).read_bytes())
    return f"{path.name} is another"


LIVE = "join pack p on p.id = pack_bytes.pack_id join repository r on r.id = p.repo_id where r.deleted_at is null"


def byte_of_a_pack(rng: random.Random, data: Path, raw: Raw) -> str | None:
    column = rng.choice(("pack", "idx"))
    row = one(rng, raw, f"select pack_id, pack_bytes.{column} from pack_bytes {LIVE} and p.retired_at is null")
    raw.execute(f"update pack_bytes set {column} = ? where pack_id = ?", (flipped(rng, row[1]), row[0]))
    return f"a bit of {column} {row[0]}"


def loss_of_a_pack(rng: random.Random, data: Path, raw: Raw) -> str:
    row = one(rng, raw, f"select pack_id from pack_bytes {LIVE} and p.retired_at is null")
    if rng.random() < 0.5:
        raw.execute("delete from pack_bytes where pack_id = ?", row)
    else:
        raw.execute("update pack set retired_at = 1 where id = ?", row)
    return f"pack {row[0]} is gone"


def a_ref_elsewhere(rng: random.Random, data: Path, raw: Raw) -> str | None:
    repo, name, oid = one(rng, raw, "select repo_id, name, oid from ref")
    other = one(rng, raw, f"select oid from ref where repo_id = {repo} and oid != '{oid}'")
    if other is None:
        return None
    raw.execute("update ref set oid = ? where repo_id = ? and name = ?", (other[0], repo, name))
    return f"{name} of {repo} is elsewhere"


def a_ref_less_or_more(rng: random.Random, data: Path, raw: Raw) -> str:
    repo, name, oid, at = one(rng, raw, "select repo_id, name, oid, updated_at from ref")
    if rng.random() < 0.5:
        raw.execute("delete from ref where repo_id = ? and name = ?", (repo, name))
    else:
        raw.execute(
            "insert into ref (repo_id, name, oid, updated_at) values (?, ?, ?, ?)", (repo, f"{name}-2", oid, at)
        )
    return f"{name} of {repo}: less, or one more"


def what_an_entry_says(rng: random.Random, data: Path, raw: Raw) -> str:
    number, leaf = one(rng, raw, "select id, leaf from entry")
    at = rng.randrange(len(leaf))
    raw.execute("update entry set leaf = ? where id = ?", (leaf[:at] + chr(ord(leaf[at]) ^ 1) + leaf[at + 1 :], number))
    return f"the leaf of entry {number}"


def what_an_entry_is_about(rng: random.Random, data: Path, raw: Raw) -> str:
    column, value = rng.choice(
        (("kind", "'ref.kept'"), ("created_at", "created_at + 1000000"), ("is_private", "not is_private"))
    )
    (number,) = one(rng, raw, "select id from entry")
    raw.execute(f"update entry set {column} = {value} where id = ?", (number,))
    return f"{column} of entry {number}"


def where_an_entry_stands(rng: random.Random, data: Path, raw: Raw) -> str:
    number, repo = one(rng, raw, "select id, repo_id from entry where repo_id is not null")
    other = one(rng, raw, f"select id from repository where id != {repo}")[0]
    match rng.randrange(3):
        case 0:
            raw.execute("update entry set repo_id = ? where id = ?", (other, number))
        case 1:
            raw.execute("update entry set repo_id = null, owner_id = null where id = ?", (number,))
        case _:
            raw.execute("update entry set owner_id = coalesce(owner_id, 0) + 1 where id = ?", (number,))
    return f"where entry {number} stands"


def what_stands_beside_an_entry(rng: random.Random, data: Path, raw: Raw) -> str:
    """A name less, another, or another salt; of private entries, and of those that are too long for their leaf."""
    is_long = rng.random() < 0.5
    number, salt, names = one(
        rng, raw, f"select entry_id, salt, names from entry_secret where (length(salt) = 0) = {int(is_long)}"
    )
    told = json.loads(names)
    name = rng.choice(sorted(told))
    match rng.randrange(3):
        case 0:
            del told[name]
        case 1:
            told[name] = {"what": "else"} if name == "facts" else f"{told[name]}x"
        case _:
            salt = bytes(16) if is_long else flipped(rng, salt)
    raw.execute("update entry_secret set salt = ?, names = ? where entry_id = ?", (salt, json.dumps(told), number))
    return f"what stands beside entry {number}"


def what_is_listed_as_taken_away(rng: random.Random, data: Path, raw: Raw) -> str:
    match rng.randrange(3):
        case 0:
            raw.execute("delete from tombstone_entry")
        case 1:
            raw.execute(
                "delete from tombstone_entry where entry_id = ?", one(rng, raw, "select entry_id from tombstone_entry")
            )
        case _:
            query = "select id from entry where id not in (select entry_id from tombstone_entry)"
            raw.execute("insert into tombstone_entry (entry_id) values (?)", one(rng, raw, query))
    return "the list of what was taken away"


def two_entries_change_places(rng: random.Random, data: Path, raw: Raw) -> str:
    (first, one_id), (second, other_id) = rng.sample(raw.execute("select idx, entry_id from leaf").fetchall(), 2)
    raw.execute("delete from leaf where idx = ?", (second,))
    hashed = raw.execute("select hash from leaf where idx = ?", (first,)).fetchone()[0]
    raw.execute("update leaf set entry_id = ? where idx = ?", (other_id, first))
    raw.execute("insert into leaf (idx, entry_id, hash) values (?, ?, ?)", (second, one_id, hashed))
    return f"leaves {first} and {second}"


def the_head_of_the_log(rng: random.Random, data: Path, raw: Raw) -> str:
    size, edge = one(rng, raw, "select size, edge from log_head")
    if rng.random() < 0.5:
        raw.execute("update log_head set edge = ?", (flipped(rng, edge),))
    else:
        raw.execute("update log_head set size = ?", (size - 1,))
    return "the head of the log"


def whose_the_log_is(rng: random.Random, data: Path, raw: Raw) -> str:
    change = rng.choice(("origin = origin || 'x'", "public = substr(public, 3) || '00'"))
    raw.execute(f"update log_identity set {change}")
    return f"whose the log is: {change}"


def the_end_of_the_log(rng: random.Random, data: Path, raw: Raw) -> str:
    """Cut off, with the checkpoints over it: in itself nothing is wrong with what is left."""
    hashes = [row[0] for row in raw.execute("select hash from leaf order by idx")]
    sizes = [row[0] for row in raw.execute("select size from log_checkpoint order by size")]
    size = rng.choice(sizes[:-1])
    edge = Edge()
    for hashed in hashes[:size]:
        edge.append(hashed)
    gone = "(select entry_id from leaf where idx >= ?)"
    for table, column in (("entry_secret", "entry_id"), ("tombstone_entry", "entry_id"), ("entry", "id")):
        raw.execute(f"delete from {table} where {column} in {gone}", (size,))
    raw.execute("delete from leaf where idx >= ?", (size,))
    raw.execute("delete from log_checkpoint where size > ?", (size,))
    raw.execute("update log_head set size = ?, edge = ?", (size, edge.packed()))
    return f"the log behind entry {size}"


def what_a_private_entry_hides(rng: random.Random, data: Path, raw: Raw) -> str:
    number, names = one(rng, raw, "select entry_id, names from entry_secret")
    raw.execute("update entry_secret set names = ? where entry_id = ?", (names.replace("ada", "eve"), number))
    return f"what entry {number} hides"


def loss_of_an_entry(rng: random.Random, data: Path, raw: Raw) -> str:
    (number,) = one(rng, raw, "select id from entry")
    for table, column in (("entry_secret", "entry_id"), ("leaf", "entry_id"), ("entry", "id")):
        raw.execute(f"delete from {table} where {column} = ?", (number,))
    return f"entry {number} is gone"


def a_leaf(rng: random.Random, data: Path, raw: Raw) -> str:
    idx, hashed = one(rng, raw, "select idx, hash from leaf")
    raw.execute("update leaf set hash = ? where idx = ?", (flipped(rng, hashed), idx))
    return f"leaf {idx}"


def a_checkpoint(rng: random.Random, data: Path, raw: Raw) -> str | None:
    row = one(rng, raw, "select size, root, note from log_checkpoint")
    if row is None:
        return None
    if rng.random() < 0.5:
        raw.execute("update log_checkpoint set root = ? where size = ?", (flipped(rng, row[1]), row[0]))
        return f"the root of checkpoint {row[0]}"
    note = row[2] if isinstance(row[2], bytes) else row[2].encode()
    at = rng.randrange(note.index(b"\n\n"))
    changed = note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :]
    raw.execute(
        "update log_checkpoint set note = ? where size = ?",
        (changed if isinstance(row[2], bytes) else changed.decode("latin-1"), row[0]),
    )
    return f"the note of checkpoint {row[0]}"


BLOB_CHANGES = (
    "size_bytes = size_bytes + 1",
    "state = 'gone'",
    "generation = generation + 1",
    "layout = case layout when 'xet' then 'plain' else 'xet' end",
    "xet_hash = (select max(xet_hash) from xet_file where xet_file.sha256 != blob.sha256)",
)


def what_a_blob_says(rng: random.Random, data: Path, raw: Raw) -> str | None:
    digest, layout = one(rng, raw, "select sha256, layout from blob where state = 'live'")
    change = rng.choice(BLOB_CHANGES)
    if change.startswith("generation") and layout == "xet":
        return None  # says nothing there
    raw.execute(f"update blob set {change} where sha256 = ?", (digest,))
    return f"{layout} blob {digest}: {change}"


def what_a_pointer_says(rng: random.Random, data: Path, raw: Raw) -> str:
    change = rng.choice(
        ("size_bytes = size_bytes + 1", "sha256 = (select max(sha256) from blob where sha256 != lfs_pointer.sha256)")
    )
    (oid,) = one(rng, raw, "select oid from lfs_pointer")
    raw.execute(f"update lfs_pointer set {change} where oid = ?", (oid,))
    return f"pointer {oid}: {change}"


def what_a_xorb_says(rng: random.Random, data: Path, raw: Raw) -> str:
    change = rng.choice(
        (
            "n_chunks = n_chunks + 1",
            "payload_bytes = payload_bytes - 1",
            "state = 'gone'",
            "generation = generation + 1",
        )
    )
    (name,) = one(rng, raw, "select hash from xorb where state = 'live'")
    raw.execute(f"update xorb set {change} where hash = ?", (name,))
    return f"xorb {name}: {change}"


def what_a_xet_file_is_made_of(rng: random.Random, data: Path, raw: Raw) -> str:
    name, terms = one(rng, raw, "select xet_hash, terms from xet_file")
    match rng.randrange(4):
        case 0:
            raw.execute("update xet_file set terms = ? where xet_hash = ?", (flipped(rng, terms), name))
        case 1:
            half = len(terms) // 2
            raw.execute("update xet_file set terms = ? where xet_hash = ?", (terms[half:] + terms[:half], name))
        case 2:
            raw.execute("update xet_file set size_bytes = size_bytes + 1 where xet_hash = ?", (name,))
        case _:
            raw.execute(
                "update xet_file set sha256 = (select max(sha256) from blob where layout = 'plain') where xet_hash = ?",
                (name,),
            )
    return f"terms of {name}"


def a_right_through_a_pull_request_alone(rng: random.Random, data: Path, raw: Raw) -> str:
    query = "select f.repo_id, f.sha256 from file_right f join repository r on r.id = f.repo_id where r.deleted_at is null and f.pull = 0"
    repo, digest = one(rng, raw, query)
    raw.execute("update file_right set pull = 7 where repo_id = ? and sha256 = ?", (repo, digest))
    return f"{repo} has {digest} through a pull request"


def loss_of_a_revision(rng: random.Random, data: Path, raw: Raw) -> str:
    """All of a pack, where only what a ref was at leads to it, or more."""
    number = one(
        rng,
        raw,
        "select p.id from pack p join repository r on r.id = p.repo_id where r.deleted_at is null and p.retired_at is null",
    )
    raw.execute("delete from pack_bytes where pack_id = ?", number)
    raw.execute("delete from pack where id = ?", number)
    return f"pack {number[0]} is gone, row and all"


def what_a_pack_says(rng: random.Random, data: Path, raw: Raw) -> str:
    change = rng.choice(
        (
            "n_objects = n_objects + 1",
            "size_bytes = size_bytes + 1",
            "is_inline = not is_inline",
            "name = substr(name, 2) || '0'",
            "repo_id = (select id from repository where id != pack.repo_id order by id desc)",
        )
    )
    (number,) = one(
        rng,
        raw,
        "select p.id from pack p join repository r on r.id = p.repo_id where r.deleted_at is null and p.retired_at is null",
    )
    raw.execute(f"update pack set {change} where id = ?", (number,))
    return f"pack {number}: {change}"


def what_a_repository_says(rng: random.Random, data: Path, raw: Raw) -> str:
    change = rng.choice(
        (
            "default_branch = 'side', head_commit = (select oid from ref where repo_id = repository.id and name = 'refs/heads/side')",
            "is_private = not is_private",
            "gated = case gated when '' then 'auto' else '' end",
            "is_disabled = not is_disabled",
            "name = name || 'x'",
            "kind = case kind when 'model' then 'dataset' else 'model' end",
            "deleted_at = created_at, head_commit = null",
            "owner_id = owner_id + 1",
        )
    )
    (repo,) = one(rng, raw, "select id from repository where deleted_at is null")
    raw.execute(f"update repository set {change} where id = ?", (repo,))
    if change.startswith("deleted_at"):
        raw.execute("delete from ref where repo_id = ?", (repo,))
    return f"repository {repo}: {change}"


def one_repository_for_another(rng: random.Random, data: Path, raw: Raw) -> str:
    """They change their names."""
    (first, one_name), (second, other_name) = rng.sample(
        raw.execute("select id, name from repository where deleted_at is null and kind = 'model'").fetchall(), 2
    )
    for repo, name in ((first, f"{one_name}-"), (second, one_name), (first, other_name)):
        raw.execute("update repository set name = ? where id = ?", (name, repo))
    for number, name in ((first, other_name), (second, one_name)):
        key = f"ada/{name}".casefold()
        raw.execute("update repository_name set repo_id = ? where kind = 'model' and name_key = ?", (number, key))
    return f"repositories {first} and {second}"


def what_a_name_leads_to(rng: random.Random, data: Path, raw: Raw) -> str:
    kind, key, repo = one(rng, raw, "select kind, name_key, repo_id from repository_name")
    at = "where kind = ? and name_key = ?"
    match rng.randrange(3):
        case 0:
            other = one(rng, raw, f"select id from repository where id != {repo}")[0]
            raw.execute(f"update repository_name set repo_id = ? {at}", (other, kind, key))
        case 1:
            raw.execute(f"delete from repository_name {at}", (kind, key))
        case _:
            states = "case state when 'current' then 'moved' when 'moved' then 'deleted' else 'current' end"
            raw.execute(f"update repository_name set state = {states} {at}", (kind, key))
    return f"the name {key}"


def a_right_less(rng: random.Random, data: Path, raw: Raw) -> str:
    repo, digest = one(
        rng,
        raw,
        "select f.repo_id, f.sha256 from file_right f join repository r on r.id = f.repo_id where r.deleted_at is null",
    )
    raw.execute("delete from file_right where repo_id = ? and sha256 = ?", (repo, digest))
    return f"{repo} has no right to {digest}"


def the_newest_commit(rng: random.Random, data: Path, raw: Raw) -> str:
    (repo,) = one(rng, raw, "select id from repository where deleted_at is null")
    raw.execute(
        "update repository set head_commit = (select oid from ref where repo_id = ? and name = 'refs/heads/side') where id = ?",
        (repo, repo),
    )
    return f"the newest commit of {repo}"


def what_a_verdict_says(rng: random.Random, data: Path, raw: Raw) -> str:
    content, role = one(rng, raw, "select content, role from file_verdict where batch_id is not null")
    change = rng.choice(
        (
            "status = case status when 'safe' then 'unsafe' else 'safe' end",
            "rules = 'none'",
            "findings = '[1]'",
        )
    )
    raw.execute(f"update file_verdict set {change} where content = ? and role = ?", (content, role))
    return f"verdict on {content}: {change}"


def a_verdict_that_was_never_recorded(rng: random.Random, data: Path, raw: Raw) -> str:
    """So it says, with another status; and half the time it is recorded so before anybody looks."""
    content, role = one(rng, raw, "select content, role from file_verdict where batch_id is not null")
    change = "status = case status when 'safe' then 'unsafe' else 'safe' end, batch_id = null"
    raw.execute(f"update file_verdict set {change} where content = ? and role = ?", (content, role))
    if rng.random() < 0.5:
        raw.commit()
        site = open_site(data)
        try:
            seal_verdicts(site)
        finally:
            site.close()
    return f"verdict on {content}: {change}"


def what_is_held(rng: random.Random, data: Path, raw: Raw) -> str | None:
    query = "select h.repo_id, h.content, h.role, h.pull from held_file h join repository r on r.id = h.repo_id where r.deleted_at is null"
    *key, pull = one(rng, raw, query)
    at = "where repo_id = ? and content = ? and role = ?"
    match rng.randrange(3):
        case 0:
            raw.execute(f"delete from held_file {at}", key)
        case 1:
            if pull:
                return None
            raw.execute(f"update held_file set pull = 3 {at}", key)
        case _:
            raw.execute(f"update held_file set role = 'text' {at}", key)
    return f"what is held: {key}"


def what_was_released(rng: random.Random, data: Path, raw: Raw) -> str:
    change = rng.choice(
        (
            "update gate_release set status = case status when 'unsafe' then 'suspicious' else 'unsafe' end",
            "update gate_release set reason = 'because it is so'",
            "update gate_release set role = 'text'",
            "update gate_release set released_by = released_by + 1",
            "update gate_release set released_at = released_at + 1000000",
            "delete from gate_release",
            (
                "insert into gate_release (repo_id, content, role, status, reason, released_at) "
                "select repo_id, content, role, 'suspicious', 'because it is so', noted_at from held_file "
                "where content not in (select content from gate_release)"
            ),
        )
    )
    raw.execute(change)
    return f"what was released: {change}"


def a_signature(rng: random.Random, data: Path, raw: Raw) -> str:
    number, text = one(rng, raw, "select id, bundle from release_signature")
    match rng.randrange(4):
        case 0:
            raw.execute("delete from release_signature where id = ?", (number,))
        case 1:
            at = rng.randrange(len(text))
            changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
            raw.execute("update release_signature set bundle = ? where id = ?", (changed, number))
        case 2:
            oid = one(rng, raw, "select oid from ref where oid not in (select commit_id from release_signature)")[0]
            raw.execute("update release_signature set commit_id = ? where id = ?", (oid, number))
        case _:
            change = rng.choice(
                ("public_key = ''", "n_files = n_files + 1", "added_by = 'eve'", "key_id = substr(key_id, 2) || '0'")
            )
            raw.execute(f"update release_signature set {change} where id = ?", (number,))
    return f"signature {number}"


def a_verdict_less(rng: random.Random, data: Path, raw: Raw) -> str:
    content, role = one(rng, raw, "select content, role from file_verdict where batch_id is not null")
    raw.execute("delete from file_verdict where content = ? and role = ?", (content, role))
    return f"no verdict on {content}"


def a_batch_of_verdicts(rng: random.Random, data: Path, raw: Raw) -> str:
    number, marks = one(rng, raw, "select id, marks from verdict_batch")
    raw.execute("update verdict_batch set marks = ? where id = ?", (flipped(rng, marks), number))
    return f"batch {number} of verdicts"


TAMPERS_OF: tuple[Tamper, ...] = (
    byte_of_an_object,
    end_of_an_object,
    loss_of_an_object,
    one_object_for_another,
    byte_of_a_pack,
    loss_of_a_pack,
    a_ref_elsewhere,
    a_ref_less_or_more,
    what_an_entry_says,
    what_an_entry_is_about,
    where_an_entry_stands,
    what_stands_beside_an_entry,
    what_is_listed_as_taken_away,
    two_entries_change_places,
    the_head_of_the_log,
    whose_the_log_is,
    the_end_of_the_log,
    what_a_private_entry_hides,
    loss_of_an_entry,
    a_leaf,
    a_checkpoint,
    what_a_blob_says,
    what_a_pointer_says,
    what_a_xorb_says,
    what_a_xet_file_is_made_of,
    a_right_less,
    a_right_through_a_pull_request_alone,
    loss_of_a_revision,
    what_a_pack_says,
    what_a_repository_says,
    one_repository_for_another,
    what_a_name_leads_to,
    the_newest_commit,
    what_a_verdict_says,
    a_verdict_that_was_never_recorded,
    what_is_held,
    what_was_released,
    a_signature,
    a_verdict_less,
    a_batch_of_verdicts,
)


def add_more(made: Storage) -> None:
    """Files that are held, as a repository's own and as a pull request's; one released; a signature; names that were left;
    a revision that no ref leads to; an entry that is too long for its leaf.
    """
    site, ada, eve = made.site, made.person("ada"), made.person("eve")
    repo_id = site.db.read(get_repository, ada, MODEL, OPEN, Action.READ).id
    evil = put_plain(made, ada, repo_id, EVIL)
    commit(made, ada, OPEN, InlineFile("config.json", EVIL_CONFIG), LargeFile("model.pkl", evil, len(EVIL)))
    commit(made, eve, OPEN, InlineFile("idea.pkl", EVIL_TEXT), as_pull=True)
    commit(made, ada, CLOSED, InlineFile("old.pkl", EVIL_TEXT))
    jobs.judge_again(site)
    held = next(one.hold for one in site.db.read(gate.repository_security, repo_id).held if len(one.hold.content) == 64)
    key = held.content, held.role
    site.db.write(gate.release, ada, MODEL, OPEN, key, "A demonstration of ours.", now=utcnow())
    for name in (OPEN, CLOSED):
        refs.create_branch(site, ada, MODEL, name, "left")
        commit(made, ada, name, InlineFile("left.txt", name.name.encode()), revision="left")
        refs.delete_branch(site, ada, MODEL, name, "left")
    private = ec.generate_private_key(ec.SECP256R1())
    with open_revision(site, ada, MODEL, OPEN, "v1") as at:
        signed = bundle.sign(OPEN.name, releases.hash_files(at), private).decode()
    releases.add_release(site, ada, MODEL, OPEN, "v1", signed, bundle.public_pem(private.public_key()))
    for name, target in (("first", "second"), ("third", "fourth")):
        repos.create_repository(site, ada, MODEL, RepoName("ada", name), is_private=False)
        site.db.write(repos.move_repository, ada, MODEL, RepoName("ada", name), RepoName("ada", target), now=utcnow())
    digests = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(1100)]
    facts = {"sha256": digests, "rewritten": False}
    given = {"repo_id": repo_id, "owner_id": ada.account_id, "now": utcnow()}
    site.db.write(ledger.record, ada, "large_files.deleted", str(OPEN), facts, **given)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("sound") / "data"
    made = make_varied(data)
    add_more(made)
    made.site.close()
    site = open_site(data)  # with the keys of its log
    for _ in range(3):
        seal_verdicts(site)
        bring_up_to_date(site)
        site.db.write(ledger.record, SYSTEM, "site.looked_at", "site", {}, now=utcnow())
    bring_up_to_date(site)
    assert check(site, keeps=False).problems == []
    site.close()
    with closing(sqlite3.connect(data / "headwater.db")) as raw:
        raw.execute("pragma wal_checkpoint(truncate)")
    return data


def test_each_random_tamper_is_found(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, done = random.Random(SEED), 0
    with closing(sqlite3.connect(sound / "headwater.db")) as raw:
        before = list(raw.iterdump())
    while done < TAMPERS:
        tamper = TAMPERS_OF[done % len(TAMPERS_OF)] if done < len(TAMPERS_OF) else rng.choice(TAMPERS_OF)
        copy = tmp_path / "copy"
        shutil.copytree(sound, copy)
        with closing(sqlite3.connect(copy / "headwater.db")) as raw:
            raw.execute("pragma foreign_keys = off")
            try:
                said = tamper(rng, copy, raw)
            except sqlite3.IntegrityError:  # the database itself refuses it
                said = None
            raw.commit()
            if said is None or (tamper not in TAMPERS_OF[:4] and list(raw.iterdump()) == before):
                shutil.rmtree(copy)
                continue
        site = open_site(copy)
        try:
            found = check(site, keeps=False)
        finally:
            site.close()
        assert not found.is_good, f"{tamper.__name__}: {said} was not found; FAULTS_SEED={SEED}"
        shutil.rmtree(copy)
        done += 1
    if TAMPERS > 100:
        with capsys.disabled():
            print(f"\n{done} tampers of {len(TAMPERS_OF)} kinds, {done} found", flush=True)
