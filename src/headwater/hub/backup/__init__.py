"""A second copy of a site: a snapshot of its database, every object that the snapshot names, and apart from both its keys.

What it looks like is in ``places``, and how a file of it is cut into parts in ``parts``. While it is made the collector rests (storage rules, 9), so nothing that the snapshot
names goes away meanwhile.
"""

from headwater.hub.backup.folder import (
    BackupBusy,
    BackupDamaged,
    BackupIncomplete,
    BackupOfAnotherSite,
    DatabaseToolFailed,
    DatabaseToolMissing,
    KeysMissing,
    Manifest,
    NoBackup,
    NotEmpty,
    NothingToBackUp,
    StoreNotEmpty,
    folder_locked,
)
from headwater.hub.backup.making import make_backup
from headwater.hub.backup.places import FolderPlace, Place, StorePlace
from headwater.hub.backup.reading import check_backup
from headwater.hub.backup.restoring import (
    chosen_snapshot,
    fetch_database,
    find_keys,
    note_restored,
    restore_database,
    restore_objects,
    verify_named,
)
from headwater.hub.backup.snapshots import Kept, Snapshot

__all__ = [
    "BackupBusy",
    "BackupDamaged",
    "BackupIncomplete",
    "BackupOfAnotherSite",
    "DatabaseToolFailed",
    "DatabaseToolMissing",
    "FolderPlace",
    "Kept",
    "KeysMissing",
    "Manifest",
    "NoBackup",
    "NotEmpty",
    "NothingToBackUp",
    "Place",
    "Snapshot",
    "StoreNotEmpty",
    "StorePlace",
    "check_backup",
    "chosen_snapshot",
    "fetch_database",
    "find_keys",
    "folder_locked",
    "make_backup",
    "note_restored",
    "restore_database",
    "restore_objects",
    "verify_named",
]
