"""Following the log: from what was kept to what is signed now, every entry hashed and every tile compared.

1. The checkpoint is this log's, and signed by the key that is trusted. 2. It is not behind what was kept. 3. Each new entry is what its
tile says, each tile what its entries make. 4. What was kept, grown by them, has the signed root. 5. A checkpoint that
somebody else kept (``since``) is part of it. 6. The witnesses that are asked for have confirmed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headwater.hub.verifying.models import Kept, LogBroken
from headwater.hub.verifying.remote import NotServed, Remote
from headwater.kernel import HeadwaterError
from headwater.ledger.notes import (
    Checkpoint,
    Note,
    VerifierKey,
    parse_checkpoint,
    parse_key,
    parse_note,
)
from headwater.ledger.tree import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    TileTruncated,
    Tree,
    check_consistency,
    leaf_hash,
    split_hashes,
    tile_path,
    tile_width,
    unpack_entries,
)

Apply = Callable[[int, bytes], None]


@dataclass(frozen=True)
class Followed:
    checkpoint: Checkpoint
    note: Note
    whole: str
    key: VerifierKey
    n_new: int


def follow(
    remote: Remote,
    kept: Kept,
    apply: Apply,
    *,
    key: VerifierKey | None = None,
    since: str | None = None,
    witnesses: Sequence[VerifierKey] = (),
) -> Followed:
    """Read and check what is new, giving each entry to ``apply``; ``kept`` is moved on, for the caller to keep.

    Raises:
        LogBroken: something does not hold; what was kept before stands as it is on disk.
        SiteUnreachable
    """
    trusted = key or (parse_key(kept.key) if kept.key else None)
    if trusted is None:
        trusted = _read_key(remote)
    # 1
    whole, note, checkpoint = _read_checkpoint(remote, trusted)
    # 2
    if checkpoint.size < kept.size:
        raise LogBroken(
            "log.shortened",
            f"The log had {kept.size} entries when it was last looked at, and has {checkpoint.size} now",
            f"entry {checkpoint.size}",
        )
    n_before = kept.size
    # 3
    _read_entries(remote, kept, checkpoint, apply)
    # 4
    if kept.edge.root() != checkpoint.root:
        what = f"The {checkpoint.size} entries that the site shows have not the root that it signed"
        if n_before:
            what = f"The log has not grown out of the {n_before} entries that were kept: it was rewritten, or others are shown another"
        raise LogBroken("log.rewritten" if n_before else "log.root_differs", what, f"checkpoint {checkpoint.size}")
    _compare_edge(remote, kept)
    # 5
    if since is not None:
        _check_since(remote, since, trusted, checkpoint)
    # 6
    for witness in witnesses:
        if not note.is_signed_by(witness):
            raise LogBroken(
                "log.not_witnessed",
                f"{witness.name} has not confirmed this checkpoint",
                f"checkpoint {checkpoint.size}",
            )
    kept.key, kept.note = str(trusted), whole
    return Followed(checkpoint, note, whole, trusted, checkpoint.size - n_before)


def _read_key(remote: Remote) -> VerifierKey:
    try:
        return parse_key(remote.read("log/key").decode("utf-8", "replace"))
    except NotServed as exc:
        raise LogBroken("log.absent", f"The site shows no log: {exc}", "log/key") from exc
    except HeadwaterError as exc:
        if exc.code == "site_unreachable":
            raise
        raise LogBroken("log.bad_key", exc.message, "log/key") from exc


def _read_checkpoint(remote: Remote, trusted: VerifierKey) -> tuple[str, Note, Checkpoint]:
    try:
        whole = remote.read("log/checkpoint").decode("utf-8", "replace")
    except NotServed as exc:
        raise LogBroken("log.absent", f"The site shows no checkpoint: {exc}", "log/checkpoint") from exc
    note, checkpoint = parse_signed(whole, trusted, "log/checkpoint")
    return whole, note, checkpoint


def parse_signed(whole: str, trusted: VerifierKey, where: str) -> tuple[Note, Checkpoint]:
    """Raises: LogBroken."""
    try:
        note = parse_note(whole)
        checkpoint = parse_checkpoint(note.text)
    except HeadwaterError as exc:
        raise LogBroken("log.bad_checkpoint", exc.message, where) from exc
    if checkpoint.origin != trusted.name:
        what = f"This checkpoint is of the log {checkpoint.origin!r}, and {trusted.name!r} is followed"
        if checkpoint.origin.startswith(f"{trusted.name}/"):
            what += "; the site has begun its log anew, and an entry log.begun_anew says why (to follow it, use another --state)"
        raise LogBroken("log.another_log", what, where)
    if not note.is_signed_by(trusted):
        raise LogBroken(
            "log.bad_signature", "The checkpoint is not signed by the key that is trusted for this log", where
        )
    return note, checkpoint


def _read_tile(remote: Remote, level: int | str, index: int, width: int) -> bytes:
    path = f"log/{tile_path(level, index, width)}"
    try:
        return remote.read(path)
    except NotServed as exc:
        raise LogBroken("log.tile_missing", str(exc), path) from exc


def _read_entries(remote: Remote, kept: Kept, checkpoint: Checkpoint, apply: Apply) -> None:
    while kept.size < checkpoint.size:
        index, known = divmod(kept.size, TILE_WIDTH)
        width = tile_width(checkpoint.size, 0, index)
        where = f"log/{tile_path(0, index, width)}"
        tile = _read_tile(remote, 0, index, width)
        if len(tile) != width * HASH_BYTES:
            raise LogBroken("log.tile_truncated", str(TileTruncated(0, index, width, len(tile))), where)
        hashes = split_hashes(tile)
        if known and hashes[:known] != kept.edge.levels[0]:
            raise LogBroken("log.rewritten", "Entries that were kept have other hashes now", where)
        entries = _unpack(remote, index, width)
        for at in range(known, width):
            number = index * TILE_WIDTH + at
            if leaf_hash(entries[at]) != hashes[at]:
                raise LogBroken(
                    "log.entry_differs", f"Entry {number} is not what the tree has a hash of", f"entry {number}"
                )
            for full in kept.edge.append(hashes[at]):
                if full.level and _read_tile(remote, full.level, full.index, TILE_WIDTH) != full.hashes:
                    path = f"log/{tile_path(full.level, full.index)}"
                    raise LogBroken("log.tile_differs", "A tile is not what the entries below it make", path)
            apply(number, entries[at])


def _unpack(remote: Remote, index: int, width: int) -> list[bytes]:
    where = f"log/{tile_path('entries', index, width)}"
    try:
        entries = list(unpack_entries(_read_tile(remote, "entries", index, width)))
    except ValueError as exc:
        raise LogBroken("log.tile_truncated", str(exc), where) from exc
    if len(entries) != width:
        raise LogBroken("log.tile_truncated", f"A bundle has {len(entries)} entries instead of {width}", where)
    return entries


def _compare_edge(remote: Remote, kept: Kept) -> None:
    """The tiles of the upper levels that are not full yet."""
    for level, hashes in enumerate(kept.edge.levels[1:], start=1):
        if hashes:
            index = (kept.size >> (TILE_HEIGHT * level)) // TILE_WIDTH
            if _read_tile(remote, level, index, len(hashes)) != b"".join(hashes):
                path = f"log/{tile_path(level, index, len(hashes))}"
                raise LogBroken("log.tile_differs", "A tile is not what the entries below it make", path)


def _check_since(remote: Remote, since: str, trusted: VerifierKey, checkpoint: Checkpoint) -> None:
    _, old = parse_signed(since, trusted, "--since")
    if old.size > checkpoint.size:
        what = f"The checkpoint given has {old.size} entries, and the log has {checkpoint.size}"
        raise LogBroken("log.shortened", what, f"entry {checkpoint.size}")
    try:
        tree = Tree(checkpoint.size, lambda level, index, width: _read_tile(remote, level, index, width))
        proof = tree.consistency_proof(old.size)
    except TileTruncated as exc:
        raise LogBroken("log.tile_truncated", str(exc), "--since") from exc
    if not check_consistency(old.size, old.root, checkpoint.size, checkpoint.root, proof):
        what = f"The log has not grown out of the checkpoint given, of {old.size} entries: it was forked or rewritten"
        raise LogBroken("log.forked", what, f"checkpoint {old.size}")
