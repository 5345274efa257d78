"""The sequencer: soon after entries were written they are numbered, and a checkpoint that holds them is signed.

A thread of each queue worker looks, and one of the site acts (``holding``). What is signed was durable before, and has grown out
of what was signed before: a log that somebody has rewritten in the database is not signed again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from headwater import ledger, queue
from headwater.db import SiteMoved, SiteMoving, Tx
from headwater.hub.log.settings import LogSettings
from headwater.kernel import HeadwaterError, utcnow
from headwater.ledger import keys, sequencer
from headwater.ledger.notes import Checkpoint
from headwater.ledger.tree import check_consistency
from headwater.web.site import Site

LOOK_S = 1.0
LOCK = "log-sequencer"
ASK_WITNESSES = "hub.ask_witnesses"
CHECKPOINT_FILE = "log_checkpoint"

log = structlog.get_logger("headwater.log")


def run_forever(
    site: Site, stop: threading.Event, *, may_work: Callable[[], bool] = lambda: True, look_s: float = LOOK_S
) -> None:
    """Number and sign until ``stop`` is set; looks only where something has been written."""
    seen, told = -1, ""
    while not stop.wait(look_s):
        if not may_work():
            continue
        try:
            version = site.db.version()
            if version == seen:
                continue
            if n_numbered := bring_up_to_date(site):
                log.debug("log.signed", n_entries=n_numbered)
            seen = version
        except (SiteMoving, SiteMoved):
            continue
        except HeadwaterError as exc:
            if told != exc.code:
                log.error("log.not_signed", reason=exc.message)  # noqa: TRY400 -- the reason says it all
            told = exc.code
        except Exception:
            log.exception("log.stumbled")


def bring_up_to_date(site: Site) -> int:
    """Number all that is pending and sign how far the log has come; returns how many entries were numbered.

    Raises:
        LogKeyMissing: there is nothing to sign with.
        LogRewritten: the database holds another log than was signed.
    """
    if not site.db.read(_is_behind):
        return 0
    with site.db.holding(LOCK, exclusive=True, wait=False) as held:
        if not held:
            return 0
        n_numbered = 0
        while done := site.db.write(sequencer.sequence):
            n_numbered += done
        _sign(site)
        return n_numbered


def _is_behind(tx: Tx) -> bool:
    if sequencer.is_pending(tx):
        return True
    identity, last = keys.find_log(tx), sequencer.find_checkpoint(tx)
    if identity is None:
        return False
    return last is None or (last.generation, last.size) != (identity.generation, sequencer.size_of(tx))


def _sign(site: Site) -> None:
    with site.db.reading() as tx:
        identity, last = keys.find_log(tx), sequencer.find_checkpoint(tx)
        if identity is None or not _is_behind(tx):
            return
        tree = sequencer.tree_of(tx)
        checkpoint = Checkpoint(identity.origin, tree.size, tree.root())
        if last is not None and (
            last.size > tree.size
            or not check_consistency(
                last.size, last.root, tree.size, checkpoint.root, tree.consistency_proof(last.size)
            )
        ):
            raise ledger.LogRewritten(last.size, tree.size)
    note = f"{checkpoint.text}\n{keys.signer_of(identity, site.data_dir).sign(checkpoint.text)}"
    has_witnesses = bool(site.settings.of(LogSettings).witnesses)

    def act(tx: Tx) -> None:
        now = utcnow()
        sequencer.keep_checkpoint(tx, identity.generation, checkpoint, note, now)
        if has_witnesses:
            queue.put(tx, ASK_WITNESSES, {}, unique="log", now=now)

    site.db.write(act)
    write_own_copy(site.data_dir, note)


def write_own_copy(data_dir: Path, note: str) -> None:
    """The last checkpoint outside of the database, so that an older database put back here is noticed at the next start."""
    path = data_dir / CHECKPOINT_FILE
    temporary = path.with_name(f"{CHECKPOINT_FILE}.{os.getpid()}.{threading.get_ident()}")
    with contextlib.suppress(OSError):  # a disk that is full says so elsewhere
        temporary.write_text(note)
        temporary.replace(path)
