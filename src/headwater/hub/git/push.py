"""Receiving a push: commands, pack, checks, then ``publish``. A refusal goes back in git's own report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from headwater import accounts
from headwater.accounts import Action, NotAllowed
from headwater.db import Tx
from headwater.hub import access
from headwater.hub.errors import HeadMoved, RefExists
from headwater.hub.events import RefMove
from headwater.hub.gate import NOTHING, Judged
from headwater.hub.gate import store as gate_store
from headwater.hub.gate.pushes import judge_push
from headwater.hub.git import objects, store
from headwater.hub.git.cache import GitStore
from headwater.hub.git.errors import BadPush, DefaultBranchStays, RefInTheWay, RefNotTaken, RepositoryPruned
from headwater.hub.git.models import Pointer
from headwater.hub.git.pktline import Command, Commands, format_report, read_commands
from headwater.hub.git.publish import publish
from headwater.hub.git.quarantine import (
    Arrived,
    check_connected,
    check_contents,
    drop_strays,
    find_kinds,
    quarantine,
    receive_pack,
)
from headwater.hub.git.settings import GitSettings
from headwater.hub.git.snapshot import Snapshot
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.names import check_ref
from headwater.kernel import Actor, CommitId, GitOid, HeadwaterError, Sha256, utcnow
from headwater.web import BodyReader, BodyTruncated, Site

CAPABILITIES = "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta object-format=sha1"
PRUNE_TRIES = 3


@dataclass(frozen=True)
class _Rights:
    """``writes``: any branch and tag; ``pulls``: only those pull requests that this push names, ``n_named`` of them in all."""

    writes: bool
    pulls: frozenset[int]
    n_named: int


def get_pushable(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName) -> Repository:
    """The repository, if ``actor`` may push anything to it: writers, and authors of pull requests to those.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, GateClosed
    """
    repo = access.get_repository(tx, actor, kind, name, Action.DISCUSS)
    if accounts.allows(tx, actor, Action.WRITE, on=repo.resource):
        return repo
    repo = access.get_repository(tx, actor, kind, name, Action.READ_FILES)
    for ref in store.read_refs(tx, repo.id):
        if _pull_of(ref) is not None and _may_write_pull(tx, actor, repo, ref):
            return repo
    raise NotAllowed(f"You may not push to {repo.name}. Open a pull request, then push to it.")


def receive(site: Site, actor: Actor, kind: RepoKind, name: RepoName, body: BodyReader) -> bytes:
    """One push from its first byte; returns the report, or nothing for the client's probe.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: before anything is read.
        BadPktLine, BadPush, BodyTruncated: it is no push.
    """
    repo = site.db.read(get_pushable, actor, kind, name)
    asked = read_commands(body.read)
    if not asked.commands:
        return b""  # before a large push git sends an empty one, to find out whether it may
    with site.part(GitStore).open(repo.id) as snap, quarantine(snap) as arrived:
        push = _Push(site, actor, repo, snap, asked, arrived)
        try:
            push.take(body)
        except BodyTruncated:
            raise
        except HeadwaterError as exc:
            return push.report_failure(exc)
        return push.report()


class _Push:
    def __init__(
        self, site: Site, actor: Actor, repo: Repository, snap: Snapshot, asked: Commands, arrived: Arrived
    ) -> None:
        self._site = site
        self._actor = actor
        self._repo = repo
        self._snap = snap
        self._asked = asked
        self._arrived = arrived
        self._refused: dict[str, str] = {}
        self._judged: Judged | None = None

    def take(self, body: BodyReader) -> None:
        """Everything up to the moved refs.

        Raises:
            HeadwaterError: nothing was done, for all commands.
        """
        if any(command.new is not None for command in self._asked.commands):
            limit = self._site.settings.of(GitSettings).max_push_bytes
            receive_pack(self._snap, self._arrived, body.read(12), body.read_into, max_bytes=limit)
        self._judge_commands()
        self._require_atomic()
        if len(self._refused) == len(self._asked.commands):
            return
        for attempt in range(PRUNE_TRIES):
            try:
                if attempt == 0:
                    self._publish(self._snap)
                else:
                    with self._site.part(GitStore).open(self._repo.id) as snap:
                        self._publish(snap)
                return
            except RepositoryPruned:
                if attempt == PRUNE_TRIES - 1:
                    raise

    def report(self) -> bytes:
        results = [(c.ref, self._refused.get(c.ref)) for c in self._asked.commands]
        note = "\n".join(f"{ref}: {why}" for ref, why in self._refused.items())
        return format_report("ok", results, self._asked.capabilities, note)

    def report_failure(self, exc: HeadwaterError) -> bytes:
        is_unpacked = not isinstance(exc, BadPush)
        results = [(c.ref, exc.message if is_unpacked else "unpacker error") for c in self._asked.commands]
        unpack = "ok" if is_unpacked else " ".join(exc.message.split())
        return format_report(unpack, results, self._asked.capabilities, exc.message)

    def _judge_commands(self) -> None:
        rights = self._site.db.read(self._find_rights)
        news = [c.new for c in self._asked.commands if c.new is not None]
        kinds = find_kinds(self._snap, self._arrived, news)
        for command in self._asked.commands:
            try:
                self._judge(command, rights, kinds)
            except HeadwaterError as exc:
                self._refused[command.ref] = exc.message

    def _find_rights(self, tx: Tx) -> _Rights:
        pulls = {pull for c in self._asked.commands if (pull := _pull_of(c.ref)) is not None}
        mine = {n for n in pulls if _may_write_pull(tx, self._actor, self._repo, f"refs/pr/{n}")}
        writes = accounts.allows(tx, self._actor, Action.WRITE, on=self._repo.resource)
        return _Rights(writes, frozenset(mine), len(pulls))

    def _judge(self, command: Command, rights: _Rights, kinds: dict[str, tuple[int, int]]) -> None:
        pull = _pull_of(command.ref)
        if pull is not None:
            if pull not in rights.pulls:
                raise RefNotTaken(f"only its author and the repository's writers push to pull request {pull}")
            if rights.n_named > 1 and not rights.writes:
                # What comes belongs to the one pull request that brings it, or to the repository, which is not theirs.
                raise RefNotTaken("push to one pull request at a time")
            if command.old is None or command.new is None:
                raise RefNotTaken("pull requests are opened and closed on their page, not by a push")
        elif not command.ref.startswith(("refs/heads/", "refs/tags/")):
            raise RefNotTaken(
                "only branches (refs/heads/), tags (refs/tags/) and pull requests (refs/pr/) are kept here"
            )
        elif not rights.writes:
            raise RefNotTaken("you may push to your own pull requests only")
        if command.new is None:
            if command.old is None:
                raise RefNotTaken("there is no such ref to delete")
            if command.ref == f"refs/heads/{self._repo.default_branch}":
                raise DefaultBranchStays(self._repo.default_branch)
            return
        if command.old is None:
            check_ref(command.ref)
        if command.new not in kinds:
            raise RefNotTaken(f"object {command.new} is neither in the push nor here")
        kind, leads_to = kinds[command.new]
        if leads_to != objects.COMMIT:
            raise RefNotTaken("it must lead to a commit")
        if kind != objects.COMMIT and not command.ref.startswith("refs/tags/"):
            raise RefNotTaken("a branch holds a commit, not a tag")

    def _require_atomic(self) -> None:
        if self._refused and "atomic" in self._asked.capabilities:
            for command in self._asked.commands:
                self._refused.setdefault(command.ref, "atomic push: another ref was refused")

    def _publish(self, snap: Snapshot) -> None:
        """Check against ``snap`` and move what can be moved; a ref that somebody else moved first is left out."""
        while commands := [c for c in self._asked.commands if c.ref not in self._refused]:
            pointers, paths, pull, judged = self._check(snap, commands)
            moves = [RefMove(c.ref, _commit(c.old), _commit(c.new)) for c in commands]
            into_pulls = any(_pull_of(move.ref) is not None for move in moves)
            try:
                publish(
                    self._site,
                    self._actor,
                    self._repo.id,
                    moves,
                    self._arrived.pack,
                    epoch=snap.prune_epoch,
                    now=utcnow(),
                    also=partial(_require_pulls, self._actor, self._repo, moves) if into_pulls else None,
                    pointers=pointers,
                    paths=paths,
                    pull=pull,
                    judged=judged,
                )
            except (HeadMoved, RefExists, RefInTheWay) as exc:
                self._refused[exc.ref] = exc.message
                self._require_atomic()
            else:
                return

    def _check(
        self, snap: Snapshot, commands: list[Command]
    ) -> tuple[dict[GitOid, Pointer], dict[Sha256, str], int, Judged]:
        """Connectivity and contents; returns pointers, the path of each large file, whose right that becomes, and what the gate says."""
        news = [c.new for c in commands if c.new is not None]
        if not news:
            self._arrived.pack = None  # deletions reach nothing that came
            return {}, {}, 0, NOTHING
        pulls = [_pull_of(c.ref) for c in commands if c.new is not None]
        is_pull = len(set(pulls)) == 1 and pulls[0] is not None
        has_pulls = any(_pull_of(ref) is not None for ref in snap.refs)
        # What so far only pull requests have, with rights of their own, becomes the repository's when a branch gets it.
        widens = has_pulls and not is_pull
        known = ["--branches", "--tags"] if widens else ["--all"]
        found = check_connected(snap, self._arrived, news, known, all_paths=widens)
        check_contents(self._arrived, found)
        drop_strays(snap, self._arrived)
        pointers = dict(self._arrived.pointers)
        if widens:
            pointers |= self._site.db.read(store.find_pointers, found.keys() - pointers.keys())
        paths = {pointer.sha256: found.get(oid, "") for oid, pointer in pointers.items()}
        if self._judged is None:
            every = partial(check_connected, snap, self._arrived, news, known, all_paths=True)
            self._judged = judge_push(self._site, self._actor, self._repo.id, snap, self._arrived, every)
        judged = self._judged
        if widens:
            came = {*found, *(pointer.sha256 for pointer in pointers.values())}
            promoted = self._site.db.read(gate_store.list_pull_contents, self._repo.id) & came
            judged = replace(judged, promoted=tuple(promoted))
        return pointers, paths, (pulls[0] or 0) if is_pull else 0, judged


def _commit(oid: str | None) -> CommitId | None:
    return None if oid is None else CommitId(oid)


def _pull_of(ref: str) -> int | None:
    from headwater.hub.community import pull_number

    return pull_number(ref)


def _require_pulls(actor: Actor, repo: Repository, moves: list[RefMove], tx: Tx) -> None:
    """Again, where it counts: a pull request may have been merged or closed since."""
    from headwater.hub.community import require_pull_writable

    for move in moves:
        number = _pull_of(move.ref)
        if number is not None:
            require_pull_writable(tx, actor, repo, number)


def _may_write_pull(tx: Tx, actor: Actor, repo: Repository, ref: str) -> bool:
    from headwater.hub.community import may_write_pull

    number = _pull_of(ref)
    return number is not None and may_write_pull(tx, actor, repo, number)
