"""How acts on xorbs and shards may be refused."""

from headwater.kernel import HeadwaterError, Kind


class BadXorb(HeadwaterError):
    """The body is not a xorb, or not the one its name says."""

    code = "bad_xorb"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"The xorb was refused: {why}. Nothing was stored.")


class BadShard(HeadwaterError):
    code = "bad_shard"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"The shard was refused: {why}. Nothing was stored.")


class XetFileNotFound(HeadwaterError):
    """No such file, or not one that the token's repository may read."""

    code = "xet_file_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such file in this repository.")


class ChunkUnknown(HeadwaterError):
    code = "chunk_unknown"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("Nothing is known about this chunk. Send it.")


class RangePastEnd(HeadwaterError):
    code = "range_past_end"
    kind = Kind.RANGE_NOT_SATISFIABLE

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"The range begins at or past the end; the file has {size_bytes} bytes.",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )


class GrantsNotServed(HeadwaterError):
    """The client takes a 404 here as "send the xorb to me"."""

    code = "grants_not_served"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("Xorbs are sent to this server itself, not to a store behind it.")
