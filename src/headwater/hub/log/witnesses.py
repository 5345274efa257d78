"""Witnesses: asking those of this site to confirm its checkpoints, and being one for others.

What a witness has confirmed cannot be taken back unseen: its answer to a log that has become shorter, or another, is the size that it
once saw. So the start asks, and a site whose database is behind takes no changes (``hold_if_behind``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import select

from headwater import accounts, ledger, queue
from headwater.db import Tx, insert
from headwater.db.moving import BEHIND, find_move, hold_writes, release_writes
from headwater.hub.log.sequencing import CHECKPOINT_FILE
from headwater.hub.log.settings import LogSettings, Witness
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.ledger import keys, sequencer
from headwater.ledger.notes import BadNote, Note, SignerKey, parse_checkpoint, parse_note
from headwater.ledger.sequencer import SignedCheckpoint
from headwater.ledger.tables import witnessed_log
from headwater.ledger.witnessing import Answer, Seen, judge, parse_request, write_request
from headwater.web.site import Site

TIMEOUT_S = 5.0
ASK_AGAIN_S = 60.0
MOST_QUESTIONS = 4  # about one checkpoint: with a proof that it does not take, for its size, and once more if another host was faster
LARGEST_ANSWER_BYTES = 16 << 10

log = structlog.get_logger("headwater.log")


# ---- this site's own witnesses


@dataclass(frozen=True)
class Said:
    """What a witness said: its line, or the size that it has seen, or that it did not answer.

    ``is_unproven``: it takes no proof from the size that it was asked with. ``has_other``: at ``seen_size``, named by itself, it
    has seen other entries than stand here.
    """

    line: str = ""
    seen_size: int | None = None
    trouble: str = ""
    is_unproven: bool = False
    has_other: bool = False


def ask_witnesses(site: Site, payload: object) -> None:
    """Job: have the latest checkpoint confirmed by each witness that has not; who does not answer is asked again later."""
    asked = site.settings.of(LogSettings).parsed_witnesses()
    signed = site.db.read(sequencer.find_checkpoint)
    if signed is None:
        return
    ask_again = False
    for witness in asked:
        if any(line.startswith(f"— {witness.key.name} ") for line in signed.cosignatures):
            continue
        said = ask(site, witness, signed)
        if said.line:
            site.db.write(
                sequencer.keep_cosignature, signed.generation, signed.size, witness.key.name, said.line, utcnow()
            )
            log.info("log.cosigned", witness=witness.key.name, size=signed.size)
        elif said.seen_size is not None:
            _hold(site, _why_it_refuses(site, witness, said.seen_size, has_other=said.has_other))
        else:
            log.warning("log.witness_silent", witness=witness.key.name, reason=said.trouble)
            ask_again = True
    if ask_again:
        site.db.write(_ask_later)


def _ask_later(tx: Tx) -> None:
    from headwater.hub.log.sequencing import ASK_WITNESSES

    queue.put(tx, ASK_WITNESSES, {}, unique="log", delay_s=ASK_AGAIN_S)


def ask(site: Site, witness: Witness, signed: SignedCheckpoint) -> Said:
    """Have ``signed`` confirmed; the witness itself says from which size it wants the proof.

    That it has seen this size already means nothing yet: its answer may have been lost, or another host was faster. Only what it
    refuses from the size that it named itself is another log.
    """
    with site.db.reading() as tx:
        old = {name: size for name, size, _ in sequencer.list_cosignatures(tx, signed.generation)}.get(
            witness.key.name, 0
        )
    is_named = False
    for _ in range(MOST_QUESTIONS):
        proof = site.db.read(_proof, old, signed.size)
        said = _post(witness, write_request(old, proof, signed.note), signed)
        if said.is_unproven:
            if is_named:
                return Said(seen_size=old, has_other=True)
            old = 0  # then it names the size
        elif said.seen_size is None or said.seen_size > signed.size:
            return said
        elif is_named and said.seen_size == old == signed.size:
            return Said(seen_size=old, has_other=True)
        else:
            old, is_named = said.seen_size, True
    return Said(trouble="it wants a proof from another size each time")


def _proof(tx: Tx, old: int, size: int) -> Sequence[bytes]:
    return sequencer.tree_of(tx, size).consistency_proof(min(old, size))


def _post(witness: Witness, body: bytes, signed: SignedCheckpoint) -> Said:
    import httpx

    url = f"{witness.url}/add-checkpoint"
    try:
        with httpx.stream("POST", url, content=body, timeout=TIMEOUT_S, follow_redirects=False) as answer:
            said = b""
            for piece in answer.iter_bytes():
                said += piece
                if len(said) > LARGEST_ANSWER_BYTES:
                    return Said(trouble="its answer is too long")
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return Said(trouble=f"{type(exc).__name__}: {exc}")
    text = said.decode("utf-8", "replace")
    if answer.status_code == httpx.codes.CONFLICT and text.strip().isdigit() and len(text.strip()) < 19:
        return Said(seen_size=int(text))
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        return Said(is_unproven=True)
    if answer.status_code != httpx.codes.OK:
        return Said(trouble=f"it answered {answer.status_code}: {text[:200].strip()}")
    try:
        found = parse_note(signed.note + text).signature_of(witness.key)
    except BadNote as exc:
        return Said(trouble=exc.message)
    return Said(line=found.line) if found is not None else Said(trouble="its signature is not by the key that was set")


def hold_if_behind(site: Site) -> str | None:
    """At the start, before anything is written: refuse writes from now on where somebody has seen more of this log than is here.

    Looked at are the copy of the last checkpoint in the data folder, and every witness that answers. Where nobody has seen more,
    writes that were refused for that reason are taken again. Returns why writes are refused.
    """
    why = own_copy_says(site) or _witnesses_say(site)
    move = site.db.read(find_move)
    is_held = move is not None and move.state == BEHIND
    _hold(site, why)
    if why is None and is_held:
        release_writes(site.db)
        log.info("log.behind_no_more")
    return why


def _hold(site: Site, why: str | None) -> None:
    if why is not None:
        hold_writes(site.db, why)
        log.error("log.behind", reason=why)


def _why_it_refuses(site: Site, witness: Witness, seen_size: int, *, has_other: bool) -> str | None:
    """None where another host has gone on meanwhile: what was seen is here."""
    if has_other:
        return f"{witness.key.name} has seen other entries among the first {seen_size} of this site's log"
    return site.db.read(_why_behind, witness.key.name, seen_size, None)


def _why_behind(tx: Tx, who: str, seen_size: int, seen_root: bytes | None) -> str | None:
    size = sequencer.size_of(tx)
    if seen_size > size:
        return f"{who} has seen {seen_size} entries of this site's log, and this database has only {size}"
    if seen_root is not None and sequencer.tree_of(tx, seen_size).root() != seen_root:
        return f"{who} has seen other entries among the first {seen_size} of this site's log"
    return None


def own_copy_says(site: Site) -> str | None:
    """Why the database cannot be the one whose last checkpoint the data folder keeps; None where it can."""
    try:
        note = parse_note((site.data_dir / CHECKPOINT_FILE).read_bytes())
        told = parse_checkpoint(note.text)
    except (OSError, HeadwaterError):
        return None
    identity = site.db.read(keys.find_log)
    if identity is None or told.origin != identity.origin or not note.is_signed_by(identity.key):
        return None  # another site's, or of a log that was begun anew
    return site.db.read(_why_behind, "This data folder", told.size, told.root)


def _witnesses_say(site: Site) -> str | None:
    signed = site.db.read(sequencer.find_checkpoint)
    if signed is None:
        return None
    for witness in site.settings.of(LogSettings).parsed_witnesses():
        said = ask(site, witness, signed)
        if said.trouble:
            log.warning("log.witness_silent", witness=witness.key.name, reason=said.trouble)
        if said.seen_size is None:
            continue
        why = _why_it_refuses(site, witness, said.seen_size, has_other=said.has_other)
        if why is not None:
            return why
    return None


def begin_anew(site: Site, actor: Actor, site_id: str, reason: str) -> str:
    """Go on with less than others have seen, under another name and key, and say so; returns the new key.

    Who kept a checkpoint of the former log finds out, and reads the reason.
    """

    def tell(tx: Tx, former: keys.LogIdentity | None, made: keys.LogIdentity) -> None:
        of = None if former is None else former.origin
        facts = {"former": of, "size": sequencer.size_of(tx), "reason": reason}
        ledger.record(tx, actor, "log.begun_anew", made.origin, facts, now=utcnow())

    made = keys.begin_anew(site.db, site.data_dir, site_id, tell)
    (site.data_dir / CHECKPOINT_FILE).unlink(missing_ok=True)  # the former's
    return str(made.key)


def find_log_key(site: Site) -> str | None:
    """Whose signature stands below the checkpoints; "" before the site's first start, None where what signs them is not here."""
    identity = site.db.read(keys.find_log)
    if identity is None:
        return ""
    try:
        keys.signer_of(identity, site.data_dir)
    except keys.LogKeyMissing:
        return None
    return str(identity.key)


def go_on_without_key(site: Site, actor: Actor) -> str:
    """As ``begin_anew``, for a site that was restored without the key of its log."""
    identity = site.db.read(accounts.find_identity)
    assert identity is not None  # noqa: S101 -- who has a log has an identity
    return begin_anew(site, actor, identity.id, "restored from a backup without the key that signed it")


def wrong_cosignatures(site: Site) -> list[str]:
    """Names of witnesses whose kept signature is not theirs, as far as their keys are known here."""
    witnesses = {one.key.name: one.key for one in site.settings.of(LogSettings).parsed_witnesses()}
    signed = site.db.read(sequencer.find_checkpoint)
    if signed is None:
        return []
    found = []
    for line in signed.cosignatures:
        key = next((key for name, key in witnesses.items() if line.startswith(f"— {name} ")), None)
        try:
            note = parse_note(f"{signed.note}{line}")
        except BadNote:
            found.append(line[:100].strip())
            continue
        if key is not None and note.signature_of(key) is None:
            found.append(key.name)
    return found


# ---- this site as a witness of others


def answer(site: Site, actor: Actor, body: bytes) -> Answer:
    """What another log that brings a checkpoint is told."""
    try:
        request = parse_request(body)
    except BadNote as exc:
        return Answer(400, f"{exc.message}\n")
    followed = site.settings.of(LogSettings).followed()
    identity = site.db.read(keys.find_log)
    if identity is None or request.checkpoint.origin not in followed:
        return judge(request, {}, Seen(), SignerKey("nobody", bytes(32)), 0)
    signer = keys.signer_of(identity, site.data_dir)
    at_s = int(utcnow().timestamp())

    def act(tx: Tx) -> Answer:
        row = tx.execute(select(witnessed_log).where(witnessed_log.c.origin == request.checkpoint.origin)).first()
        seen = Seen() if row is None else Seen(row.size, bytes(row.root))
        said = judge(request, followed, seen, signer, at_s)
        if said.keep is not None:
            _keep_seen(tx, request.checkpoint.origin, said.keep, request.note)
        return said

    said = site.db.write(act)
    if said.status in (409, 422):
        log.warning("log.not_cosigned", origin=request.checkpoint.origin, status=said.status)
    return said


def _keep_seen(tx: Tx, origin: str, seen: Seen, note: Note) -> None:
    values = {"size": seen.size, "root": seen.root, "note": note.text, "cosigned_at": utcnow()}
    tx.execute(
        insert(witnessed_log)
        .values(origin=origin, **values)
        .on_conflict_do_update(index_elements=["origin"], set_=values)
    )
