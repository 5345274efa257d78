"""Large files and xorbs: every row's bytes are there, and are what its name says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select

from headwater.blobs import ObjectDamaged, StoreAway, blob_key, feed
from headwater.db import Tx
from headwater.hub.checking.models import Looking, Problem, Row
from headwater.hub.files.service import source_of
from headwater.hub.files.store import find_blobs
from headwater.hub.files.terms import XetSource, is_framed, payload_key, payload_pieces, unpack_terms
from headwater.hub.tables.attachments import attachment
from headwater.hub.tables.files import blob, file_right, upload_claim
from headwater.hub.tables.xet import xet_chunk, xet_file, xet_file_xorb, xorb, xorb_framing
from headwater.hub.xet.hashes import chunk_hash, file_hash, merkle_root
from headwater.hub.xet.xorbs import XorbIndex, index_bytes, index_key, pack_ends, read_index
from headwater.kernel import Sha256, XetHash

KEPT = ("live", "condemned")
_STEP = 500
_WINDOW = 8 << 20


def _steps(looking: Looking, table: Any, key: Any, *where: ColumnElement[bool]) -> Iterator[Any]:
    """All rows in the order of their key, a snapshot for each batch."""
    after = ""

    def read(tx: Tx) -> Any:
        return tx.execute(select(table).where(key > after, *where).order_by(key).limit(_STEP)).all()

    while rows := looking.site.db.read(read):
        yield rows
        after = getattr(rows[-1], key.name)


def check_blobs(looking: Looking) -> Iterator[Problem]:
    """Large files, however they are kept; and that what anybody may read is not given up."""
    for rows in _steps(looking, blob, blob.c.sha256, blob.c.state.in_(KEPT)):
        for row in rows:
            looking.seen.files += 1
            if row.layout == "plain":
                yield from check_plain(looking, row.sha256, row.generation, row.size_bytes)
                if row.xet_hash is not None:
                    yield from check_decoded(looking, row.sha256, only_its_name=True)
            else:
                yield from check_decoded(looking, row.sha256)
            if row.copy_generation is not None:
                yield from check_plain(looking, row.sha256, row.copy_generation, row.size_bytes)
    held = or_(*(exists().where(each.c.sha256 == blob.c.sha256) for each in (file_right, upload_claim, attachment)))
    for rows in _steps(looking, blob, blob.c.sha256, blob.c.state.not_in(KEPT), held):
        for row in rows:
            what = f"The large file {row.sha256} is {row.state}, and somebody may still read it"
            yield Problem("blob.missing", f"{what}.", row.sha256, rows=(_blob_row(row.sha256),))


def _blob_row(sha256: str) -> Row:
    return Row("blob", (("sha256", sha256),))


def check_plain(looking: Looking, sha256: Sha256, generation: int, size_bytes: int) -> Iterator[Problem]:
    """One object that is a whole file."""
    blobs, key = looking.blobs, blob_key(sha256, generation)
    size = blobs.size_of(key)
    if size is None:
        yield Problem("blob.missing", f"{key} is not there.", key, key=key, rows=(_blob_row(sha256),))
    elif looking.reads_bytes:
        looking.read(size)
        try:
            digest, read = blobs.digest_of(key)
        except (OSError, ObjectDamaged) as exc:
            yield Problem("blob.damaged", f"{key} cannot be read: {exc}.", key, key=key)
            return
        if digest != sha256:
            yield Problem("blob.damaged", f"{key} holds other bytes: {read} with the sha256 {digest}.", key, key=key)
        elif read != size_bytes:
            what = f"{key} is whole and has {read} bytes; its row says {size_bytes}"
            yield Problem("blob.differs", f"{what}.", sha256, rows=(_blob_row(sha256),))
    elif size != size_bytes:
        yield Problem("blob.damaged", f"{key} has {size} bytes; its row says {size_bytes}.", key, key=key)


def check_decoded(looking: Looking, sha256: Sha256, *, only_its_name: bool = False) -> Iterator[Problem]:
    """The plain bytes of a file that lies in xorbs, and its name there; or that of one which lies whole, too."""
    rows: tuple[Row, ...] = (_blob_row(sha256),)
    try:
        with looking.site.db.reading() as tx:
            found = find_blobs(tx, [sha256]).get(sha256)
            if found is None or not found.is_stored:
                return  # given up since it was listed
            if found.xet_hash is None:
                yield Problem(
                    "file.differs", f"The file {sha256} has no name in Xet, where it lies.", sha256, rows=rows
                )
                return
            rows = (*rows, Row("xet_file", (("xet_hash", found.xet_hash),)))
            name = tx.execute(select(xet_file.c.sha256).where(xet_file.c.xet_hash == found.xet_hash)).scalar()
            if name != sha256:
                what = f"The file {sha256} is {found.xet_hash} in Xet, which is {name or 'unknown'}"
                yield Problem("file.differs", f"{what}.", sha256, rows=rows)
                return
            if only_its_name or not looking.reads_bytes:
                return
            source = source_of(tx, looking.blobs, found)
        looking.read(found.size_bytes)
        hasher = hashlib.sha256()
        size = feed(hasher.update, source.pieces(0, source.size_bytes))
    except StoreAway:
        raise
    except (OSError, ObjectDamaged, KeyError, ValueError) as exc:
        yield Problem("file.unreadable", f"The file {sha256} cannot be put together: {_told(exc)}.", sha256, rows=rows)
        return
    if hasher.hexdigest() != sha256 or size != found.size_bytes:
        what = f"The file {sha256} of {found.size_bytes} bytes is put together to {size} bytes with the sha256 {hasher.hexdigest()}"
        yield Problem("file.differs", f"{what}.", sha256, rows=rows)


def _told(exc: Exception) -> str:
    return f"{type(exc).__name__} {str(exc)[:200]}".strip()


def check_xorbs(looking: Looking) -> Iterator[Problem]:
    """Xorbs: the index is of the name, and every chunk of the index."""
    for rows in _steps(looking, xorb, xorb.c.hash, xorb.c.state.in_(KEPT)):
        for row in rows:
            looking.seen.xorbs += 1
            yield from check_xorb(looking, row)
    needed = exists().where(xet_file_xorb.c.xorb == xorb.c.hash)
    for rows in _steps(looking, xorb, xorb.c.hash, xorb.c.state.not_in(KEPT), needed):
        for row in rows:
            what = f"The xorb {row.hash} is {row.state}, and files are made of it"
            yield Problem("xorb.missing", f"{what}.", row.hash, rows=(Row("xorb", (("hash", row.hash),)),))


def check_xorb(looking: Looking, row: Any) -> Iterator[Problem]:
    blobs, key = looking.blobs, payload_key(XetHash(row.hash), row.generation)
    idx = index_key(key)
    own = (Row("xorb", (("hash", row.hash),)),)
    size, index_size = blobs.size_of(key), blobs.size_of(idx)
    for each, found in ((key, size), (idx, index_size)):
        if found is None:
            yield Problem("xorb.missing", f"{each} is not there.", each, key=each, rows=own)
    if size is None or index_size is None:
        return
    if not looking.reads_bytes:
        if index_size != index_bytes(key, row.n_chunks):
            yield Problem("xorb.damaged", f"{idx} has {index_size} bytes.", idx, key=idx, rows=own)
        if not is_framed(key) and size != row.payload_bytes:
            yield Problem(
                "xorb.damaged", f"{key} has {size} bytes; its row says {row.payload_bytes}.", key, key=key, rows=own
            )
        return
    looking.read(size + index_size)
    try:
        index = read_index(blobs, key)
        name = index.name()
    except StoreAway:
        raise
    except (OSError, ObjectDamaged, ValueError) as exc:
        yield Problem("xorb.damaged", f"{idx} cannot be read: {_told(exc)}.", idx, key=idx)
        return
    if name != row.hash or index_size != index_bytes(key, index.n_chunks):
        yield Problem("xorb.damaged", f"{idx} is not the index of this xorb.", idx, key=idx)
        return
    if (index.n_chunks, index.payload_bytes) != (row.n_chunks, row.payload_bytes):
        what = f"The xorb {row.hash} has {index.n_chunks} chunks of {index.payload_bytes} bytes; its row says {row.n_chunks} of {row.payload_bytes}"
        yield Problem("xorb.differs", f"{what}.", row.hash, rows=own)
    if index.framed is not None:
        said = looking.site.db.read(_framing, row.hash)
        if said != pack_ends(index):
            what = f"The table says otherwise than the index where chunks of the xorb {row.hash} end"
            yield Problem("xorb.differs", f"{what}.", row.hash, rows=(Row("xorb_framing", (("xorb", row.hash),)),))
    wrong = first_wrong_chunk(looking, key, index)
    if wrong is not None:
        yield Problem("xorb.damaged", f"{key} holds other bytes from chunk {wrong} on.", key, key=key)
    elif not is_framed(key) and size != index.payload_bytes:
        yield Problem("xorb.damaged", f"{key} has {size} bytes, {index.payload_bytes} were stored.", key, key=key)
    elif index.framed is not None and size < index.framed_ends[-1]:
        yield Problem("xorb.damaged", f"{key} is cut short.", key, key=key)


def first_wrong_chunk(looking: Looking, key: str, index: XorbIndex) -> int | None:
    """The number of a chunk that is not what the index says, or None."""
    blobs, chunk = looking.blobs, 0
    while chunk < index.n_chunks:
        last = chunk
        while last < index.n_chunks and index.ends[last + 1] - index.ends[chunk] <= _WINDOW:
            last += 1
        last = max(last, chunk + 1)
        start, end = index.ends[chunk], index.ends[last]
        data = bytearray()
        try:
            feed(data.extend, payload_pieces(blobs, key, start, end))
        except StoreAway:
            raise
        except (OSError, ObjectDamaged):
            return chunk
        view = memoryview(data)
        for each in range(chunk, last):
            part = view[index.ends[each] - start : index.ends[each + 1] - start]
            if chunk_hash(part) != index.hash_of(each):
                return each
        chunk = last
    return None


def _framing(tx: Tx, name: str) -> bytes | None:
    found: bytes | None = tx.execute(select(xorb_framing.c.ends).where(xorb_framing.c.xorb == name)).scalar()
    return found


def check_terms(looking: Looking) -> Iterator[Problem]:
    """Files in Xet: their terms lie in xorbs that are here, and their chunks make the file's name."""
    for rows in _steps(looking, xet_file, xet_file.c.xet_hash):
        for row in rows:
            why = _what_is_wrong_with(looking, row)
            if why is not None:
                own = Row("xet_file", (("xet_hash", row.xet_hash),))
                what = f"The file {row.xet_hash} in Xet {why}"
                uses = Row("xet_file_xorb", (("xet_hash", row.xet_hash),))
                chunks = Row("xet_chunk", (("xet_hash", row.xet_hash),))
                yield Problem("file.differs", f"{what}.", row.xet_hash, rows=(own, uses, chunks))


def _what_is_wrong_with(looking: Looking, row: Any) -> str | None:
    try:
        terms = unpack_terms(row.terms)
    except Exception as exc:  # noqa: BLE001 -- whatever was written there
        return f"has terms that cannot be read ({type(exc).__name__})"
    if len(terms) != row.n_terms or sum(term.size_bytes for term in terms) != row.size_bytes:
        return "has terms of another number or size than its row says"

    def read(tx: Tx) -> tuple[dict[str, int], Any, str | None]:
        query = select(xorb.c.hash, xorb.c.generation).join(xet_file_xorb, xet_file_xorb.c.xorb == xorb.c.hash)
        used = {r.hash: r.generation for r in tx.execute(query.where(xet_file_xorb.c.xet_hash == row.xet_hash))}
        asked = tx.execute(select(xet_chunk).where(xet_chunk.c.xet_hash == row.xet_hash)).all()
        still = tx.execute(select(xet_file.c.sha256).where(xet_file.c.xet_hash == row.xet_hash)).scalar()
        return used, asked, still

    used, asked, still = looking.site.db.read(read)
    if still is None:
        return None  # given up since it was listed
    if {term.xorb for term in terms} != used.keys():
        return "is made of other xorbs than are kept for it"
    nodes = []
    indexes: dict[str, XorbIndex] = {}
    for term in terms:
        if term.xorb not in indexes:
            try:
                indexes[term.xorb] = read_index(looking.blobs, payload_key(term.xorb, used[term.xorb]))
            except StoreAway:
                raise
            except (OSError, ObjectDamaged):
                return None  # told with the xorb
        index = indexes[term.xorb]
        if not 0 <= term.first < term.last <= index.n_chunks:
            return f"names chunks that the xorb {term.xorb} does not have"
        if index.ends[term.first] != term.offset or index.ends[term.last] - term.offset != term.size_bytes:
            return f"has a term that lies elsewhere in the xorb {term.xorb}"
        nodes += index.nodes(term.first, term.last)
    if file_hash(merkle_root(nodes)) != row.xet_hash:
        return "has terms whose chunks make another file"
    for chunk in asked:
        if not 0 <= chunk.term < len(terms):
            return "is said to have a chunk in a term that it does not have"
        term = terms[chunk.term]
        digests = {digest for digest, _ in indexes[term.xorb].nodes(term.first, term.last)}
        if bytes_of(chunk.hash) not in digests:
            return f"is said to have the chunk {chunk.hash}, and does not"
    return _other_bytes(looking, row, used) if looking.reads_bytes else None


def _other_bytes(looking: Looking, row: Any, used: dict[str, int]) -> str | None:
    """Whether it is another file than its row says, where no blob is read by these very terms."""
    known = looking.site.db.read(find_blobs, [Sha256(row.sha256)]).get(Sha256(row.sha256))
    if known is None:
        return f"is said to be {row.sha256}, which nobody knows"
    if known.layout == "xet" and known.xet_hash == row.xet_hash:
        return None  # read with the blob
    keys = {XetHash(name): payload_key(XetHash(name), generation) for name, generation in used.items()}
    source = XetSource(unpack_terms(row.terms), looking.blobs, keys)
    looking.read(row.size_bytes)
    hasher = hashlib.sha256()
    try:
        feed(hasher.update, source.pieces(0, source.size_bytes))
    except StoreAway:
        raise
    except (OSError, ObjectDamaged):
        return None  # told with the xorb
    return None if hasher.hexdigest() == row.sha256 else f"is {hasher.hexdigest()} and not {row.sha256}"


def bytes_of(text: str) -> bytes:
    from headwater.hub.files.terms import from_text

    try:
        return from_text(text)
    except ValueError:
        return b""
