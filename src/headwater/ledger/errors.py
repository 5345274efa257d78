"""What the log refuses."""

from headwater.kernel import HeadwaterError, Kind


class LogRewritten(HeadwaterError):
    """What stands in the database has not grown out of what was signed."""

    code = "log_rewritten"
    kind = Kind.CONFLICT

    def __init__(self, signed_size: int, size: int) -> None:
        super().__init__(
            f"The log's database has {size} entries that have not grown out of the {signed_size} that were signed, so nothing more "
            "is signed. Something was changed or taken out; find it with `headwater check`, and restore the last good backup."
        )


class LogEntryNotFound(HeadwaterError):
    code = "log_entry_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("The log has no entry of this number yet. /log/checkpoint says how many it has.")


class LogTileNotFound(HeadwaterError):
    code = "log_tile_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__(
            "The log has no such tile, or not so many hashes in it yet. /log/checkpoint says how many entries it has."
        )


class BadLogRange(HeadwaterError):
    code = "bad_log_range"
    kind = Kind.BAD_INPUT

    def __init__(self, size: int) -> None:
        super().__init__(f"Give two numbers of entries, the smaller first, of which the larger is at most {size}.")
