"""Xorbs whose bytes are not where their rows say: a restore went wrong, or an object was removed by hand.

Asked before anything new relies on a xorb. It is the store that is asked: a copy at hand on this host proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from headwater.hub.files.terms import FRAMED_FROM, payload_key
from headwater.hub.xet import store
from headwater.hub.xet.models import Xorb
from headwater.hub.xet.xorbs import index_bytes, index_key
from headwater.kernel import XetHash
from headwater.web import Site

log = structlog.get_logger("headwater.hub.xet")


def forget_lost(site: Site, xorbs: Iterable[Xorb]) -> set[XetHash]:
    """Which of these stored xorbs are not whole in the store; clients are made to send them again."""
    asked = list(xorbs)
    framed = [xorb.hash for xorb in asked if xorb.generation >= FRAMED_FROM]
    framed_sizes = site.db.read(store.find_framed_sizes, framed) if framed else {}
    wanted: dict[XetHash, dict[str, int]] = {}
    for xorb in asked:
        key = payload_key(xorb.hash, xorb.generation)
        size = framed_sizes.get(xorb.hash, xorb.payload_bytes)
        wanted[xorb.hash] = {key: size, index_key(key): index_bytes(key, xorb.n_chunks)}
    found = site.blobs.sizes_of([key for sizes in wanted.values() for key in sizes])
    lost = [xorb for xorb in asked if any(found[key] != size for key, size in wanted[xorb.hash].items())]
    for xorb in lost:
        epoch = site.db.write(store.lose_xorb, xorb.hash, xorb.generation)
        if epoch is not None:
            log.error("xorb.lost", xorb=xorb.hash, generation=xorb.generation, epoch=epoch)
    return {xorb.hash for xorb in lost}
