"""Looking whether a backup still is what was written: every byte that its snapshots need, each once, however many need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from headwater.hub.backup.folder import BackupDamaged, NoBackup, hash_file
from headwater.hub.backup.places import Place, object_name
from headwater.hub.backup.snapshots import Snapshot


@dataclass(frozen=True)
class Bad:
    """``snapshots`` can no longer be restored whole; ``what`` says why."""

    what: str
    snapshots: tuple[str, ...]


@dataclass
class Looked:
    snapshots: int = 0
    objects: int = 0
    bytes: int = 0
    bad: list[Bad] = field(default_factory=list)


@dataclass
class _Needed:
    size_bytes: int
    what: str
    by: list[str] = field(default_factory=list)


def check_backup(
    place: Place,
    *,
    reads_bytes: bool = True,
    pace: Callable[[int], None] = lambda _: None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Looked:
    """All whole snapshots of a place. It changes nothing, and needs no site.

    Args:
        reads_bytes: False only looks whether each object is there, in its size.

    Raises:
        NoBackup: there is no snapshot.
        BackupBusy: one is being made.
    """
    found, needed = Looked(), dict[str, _Needed]()
    with place.locked(exclusive=False):
        names = place.list_snapshots()
        if not names:
            raise NoBackup(place.name)
        for name in names:
            on_step(f"snapshot {name}")
            found.snapshots += 1
            try:
                _note_needed(Snapshot(place, name), needed)
            except BackupDamaged as exc:
                found.bad.append(Bad(exc.message, (name,)))
        there = place.object_sizes()
        on_step(f"{len(needed)} objects")
        for sha256, one in sorted(needed.items()):
            found.objects += 1
            wrong = _find_wrong(place, sha256, one.size_bytes, there.get(object_name(sha256)), reads_bytes=reads_bytes)
            if wrong is not None:
                found.bad.append(Bad(f"objects/{object_name(sha256)} ({one.what}) {wrong}", tuple(one.by)))
            elif reads_bytes:
                found.bytes += one.size_bytes
                pace(one.size_bytes)
    return found


def _note_needed(snapshot: Snapshot, needed: dict[str, _Needed]) -> None:
    for part in snapshot.list_parts():
        needed.setdefault(part.sha256, _Needed(part.size_bytes, "a part of the snapshot itself")).by.append(
            snapshot.name
        )
    for kept in snapshot.objects.values():
        needed.setdefault(kept.sha256, _Needed(kept.size_bytes, kept.key)).by.append(snapshot.name)


def _find_wrong(place: Place, sha256: str, size: int, found: int | None, *, reads_bytes: bool) -> str | None:
    if found is None:
        return "is missing"
    if found != size:
        return f"has {found} bytes and not {size}"
    if not reads_bytes:
        return None
    try:
        with place.object(sha256) as path:
            return None if hash_file(path) == sha256 else "is not what its name says"
    except FileNotFoundError:
        return "is missing"
