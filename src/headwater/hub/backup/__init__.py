"""A second copy of a site: a snapshot of its database and every object that the snapshot names.

    folder/
      objects/<key>                      as in the store; never changed, shared by all snapshots
      snapshots/<time>/database          SQLite file, or what pg_dump wrote
      snapshots/<time>/objects.txt       key and size of each object
      snapshots/<time>/secret            signs links and tokens, where the data folder has it
      snapshots/<time>/backup.json       written last: without it the snapshot is not whole

While it is made the collector rests (storage rules, 9), so nothing that the snapshot names goes away meanwhile.
"""

from headwater.hub.backup.folder import (
    BackupBusy,
    BackupDamaged,
    BackupIncomplete,
    BackupOfAnotherSite,
    DatabaseToolFailed,
    DatabaseToolMissing,
    Manifest,
    NoBackup,
    NotEmpty,
    NothingToBackUp,
    StoreNotEmpty,
    folder_locked,
)
from headwater.hub.backup.making import make_backup
from headwater.hub.backup.restoring import (
    note_restored,
    restore_database,
    restore_objects,
    verify_named,
)

__all__ = [
    "BackupBusy",
    "BackupDamaged",
    "BackupIncomplete",
    "BackupOfAnotherSite",
    "DatabaseToolFailed",
    "DatabaseToolMissing",
    "Manifest",
    "NoBackup",
    "NotEmpty",
    "NothingToBackUp",
    "StoreNotEmpty",
    "folder_locked",
    "make_backup",
    "note_restored",
    "restore_database",
    "restore_objects",
    "verify_named",
]
