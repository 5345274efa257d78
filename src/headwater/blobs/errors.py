"""How the place where bytes lie may refuse, whichever place it is."""

from headwater.kernel import HeadwaterError, Kind


class DigestMismatch(HeadwaterError):
    code = "digest_mismatch"
    kind = Kind.BAD_INPUT

    def __init__(self, claimed: str, found: str) -> None:
        super().__init__(f"The bytes received have sha256 {found}, not {claimed!r} as claimed. Nothing was stored.")


class SizeMismatch(HeadwaterError):
    code = "size_mismatch"
    kind = Kind.BAD_INPUT

    def __init__(self, claimed: int, found: int) -> None:
        super().__init__(f"{found} bytes were received, {claimed} were announced. Nothing was stored.")


class StorageFull(HeadwaterError):
    code = "storage_full"
    kind = Kind.FULL

    def __init__(self) -> None:
        super().__init__("The disk of this server is full; nothing was stored. Tell its operator, then try again.")


class WorkFolderUnusable(HeadwaterError):
    """The local folder for what is being received cannot be written to: read-only, or not this user's."""

    code = "work_folder_unusable"
    kind = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "This server cannot write to its local working folder; nothing was stored. Tell its operator, then try again.",
            headers={"Retry-After": "10"},
        )


class StoreAway(HeadwaterError):
    """The object store does not answer, or not as it should, in spite of several tries."""

    code = "object_store_away"
    kind = Kind.UNAVAILABLE

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The object store behind this server cannot be used just now ({why}). Nothing was changed; try again soon.",
            headers={"Retry-After": "5"},
        )


class ObjectDamaged(HeadwaterError):
    """What the store gave is not what was stored there, however often it was asked."""

    code = "object_damaged"
    kind = Kind.UNAVAILABLE

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The object store gave other bytes for {key!r} than were stored. Tell the operator of this server.",
            headers={"Retry-After": "30"},
        )


class StoreRefused(HeadwaterError):
    """Met at start: the settings of the object store do not fit it."""

    code = "object_store_refused"
    kind = Kind.BAD_INPUT

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"The object store at {address} cannot be used: {why}")


class StoreOfAnotherSite(HeadwaterError):
    code = "object_store_of_another_site"
    kind = Kind.CONFLICT

    def __init__(self, address: str, theirs: str, ours: str) -> None:
        super().__init__(
            f"{address} holds the objects of another site ({theirs}; this one is {ours}). Two sites must never share a "
            "bucket and prefix: give HEADWATER_BLOBS another prefix, or use the database that belongs to these objects."
        )


class StoreDriverMissing(HeadwaterError):
    code = "object_store_driver_missing"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__(
            "HEADWATER_BLOBS names an object store, and the package obstore is not installed. "
            "Install it into Headwater's virtual environment: pip install obstore."
        )
