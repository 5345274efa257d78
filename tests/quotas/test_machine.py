"""Random histories against a short model: the counters always are what a brute-force sum says, and never beyond the limit."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headwater.accounts import Action
from headwater.hub import collector, files, quotas, repos
from headwater.hub.community import attachments, discussions, pulls
from headwater.hub.community.errors import LimitReached
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Deleted, Draft, InlineFile, LargeFile
from headwater.hub.content.errors import NothingToDelete
from headwater.hub.content.large_files import delete_large_files
from headwater.hub.content.refs import squash_branch
from headwater.hub.errors import BlobNotStored, RepositoryNotFound
from headwater.hub.git.collector import merge_packs, prune_repository
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.quotas import recount
from headwater.hub.quotas.service import set_limits
from headwater.hub.uploads import service as uploads
from headwater.hub.xet import ingest
from headwater.hub.xet.errors import BadShard
from headwater.kernel import SYSTEM, Sha256, utcnow
from tests.storage import make_storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard

MODEL = RepoKind.MODEL
XORBS = [MadeXorb([bytes([n, i]) * (200 + 100 * n) for i in range(4)]) for n in range(3)]
CONTENTS = [b"".join(x.chunks) for x in XORBS]
DIGESTS = [Sha256(hashlib.sha256(c).hexdigest()) for c in CONTENTS]
PEOPLE = ("ada", "bob")
LIMIT = 12_000

content = st.integers(0, len(CONTENTS) - 1)
repo = st.integers(0, 2)
person = st.sampled_from(PEOPLE)


class Charges(RuleBasedStateMachine):
    """``ada`` owns m0 and m1, ``bob`` m2; each may propose changes to the other's."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.storage = make_storage(Path(self.folder.name) / "data", hub=True)
        self.site = self.storage.site
        self.people = {name: self.storage.person(name) for name in PEOPLE}
        self.names: list[RepoName] = []
        self.pulls: dict[int, list[int]] = {}
        self.now = utcnow()
        self.n = 0
        for n in range(3):
            owner = "bob" if n == 2 else "ada"
            made = repos.create_repository(self.site, self.people[owner], MODEL, RepoName(owner, f"m{n}"))
            self.names.append(made.name)
            self.pulls[n] = []
        for name in PEOPLE:
            limits = quotas.Limits(LIMIT, LIMIT // 2, 4)
            self.site.db.write(set_limits, SYSTEM, name, limits, now=self.now)

    def teardown(self) -> None:
        self.site.close()
        self.folder.cleanup()

    def repo_id(self, r: int) -> int:
        from headwater.hub import access

        found = self.site.db.read(access.find_by_name, MODEL, self.names[r])
        assert found is not None
        return found.id

    def attempt(self, act, *args, **kwargs):
        """What is refused must have changed nothing; the invariants look."""
        try:
            return act(*args, **kwargs)
        except (
            quotas.QuotaExceeded,
            quotas.TooManyRepositories,
            BlobNotStored,
            BadShard,
            NothingToDelete,
            RepositoryNotFound,
            LimitReached,
        ):
            return None

    @rule(n=content, r=repo, who=person)
    def upload_plain(self, n: int, r: int, who: str) -> None:
        self.attempt(files.store_plain, self.site, self.people[who], self.repo_id(r), CONTENTS[n])

    @rule(n=content, r=repo, who=person, whole=st.booleans())
    def upload_by_xet(self, n: int, r: int, who: str, whole: bool) -> None:
        action = Action.WRITE if who == self.names[r].namespace else Action.DISCUSS
        grant = grant_of(self.storage, who, self.repo_id(r), action)
        if self.attempt(ingest.accept_xorb, self.site, grant, XORBS[n].name, Body(XORBS[n].body)) is None or not whole:
            return
        checked = self.attempt(ingest.check_shard, self.site, grant, make_shard([([(XORBS[n], 0, 4)], DIGESTS[n])]))
        if checked is not None:
            self.attempt(ingest.finish_shard, self.site, grant, checked, lambda _: None)

    @rule(n=content, r=repo, size=st.sampled_from([0, 100, 3000]))
    def upload_from_a_browser(self, n: int, r: int, size: int) -> None:
        owner = self.people[self.names[r].namespace]
        self.n += 1
        announced = [uploads.Announced(f"f{self.n}", size)]
        begun = self.attempt(uploads.begin, self.site, owner, MODEL, self.names[r], announced)
        if begun and size == 100:
            uploads.give_up(self.site, owner, [begun[0].id])

    @rule(who=person, r=repo, size=st.integers(0, 4000), is_named=st.booleans())
    def bring_a_picture(self, who: str, r: int, size: int, is_named: bool) -> None:
        data = b"GIF89a\x01\0\x01\0" + bytes(size)
        path = self.site.blobs.tmp / "picture"
        path.write_bytes(data)
        digest = Sha256(hashlib.sha256(data).hexdigest())
        made = self.attempt(attachments.keep, self.site, self.people[who], path, digest, len(data))
        path.unlink(missing_ok=True)
        if made is not None and is_named:
            text = attachments.path_of(made)
            act, name = discussions.open_discussion, self.names[r]
            write = self.site.db.write
            self.attempt(write, act, self.people[who], MODEL, name, title="look", body=text, now=self.now)

    @rule(n=content, r=repo)
    def commit_large(self, n: int, r: int) -> None:
        owner = self.people[self.names[r].namespace]
        draft = Draft("add", "", None, [LargeFile(f"w{n}.bin", DIGESTS[n], len(CONTENTS[n]))])
        self.attempt(commit_draft, self.site, owner, MODEL, self.names[r], "main", draft)

    @rule(r=repo, size=st.integers(1, 2000))
    def commit_small(self, r: int, size: int) -> None:
        owner = self.people[self.names[r].namespace]
        self.n += 1
        text = hashlib.shake_256(str(self.n).encode()).digest(size)
        draft = Draft("text", "", None, [InlineFile(f"t{self.n % 3}", text)])
        self.attempt(commit_draft, self.site, owner, MODEL, self.names[r], "main", draft)

    @rule(n=content, r=repo)
    def delete_from_the_branch(self, n: int, r: int) -> None:
        owner = self.people[self.names[r].namespace]
        draft = Draft("gone", "", None, [Deleted(f"w{n}.bin", is_folder=False)])
        self.attempt(commit_draft, self.site, owner, MODEL, self.names[r], "main", draft)

    @rule(n=content, r=repo, who=person, size=st.integers(1, 500))
    def propose(self, n: int, r: int, who: str, size: int) -> None:
        self.n += 1
        text = hashlib.shake_256(str(self.n).encode()).digest(size)
        changes = [LargeFile(f"w{n}.bin", DIGESTS[n], len(CONTENTS[n])), InlineFile("proposed", text)]
        draft = Draft("a proposal", "", None, changes)
        made = self.attempt(
            commit_draft, self.site, self.people[who], MODEL, self.names[r], "main", draft, as_pull=True
        )
        if made is not None and made.pull is not None:
            self.pulls[r].append(made.pull)

    @precondition(lambda self: any(self.pulls.values()))
    @rule(r=repo)
    def merge(self, r: int) -> None:
        from headwater.hub.community.errors import MergeConflict, NothingToMerge

        owner = self.people[self.names[r].namespace]
        if self.pulls[r]:
            num = self.pulls[r].pop()
            with contextlib.suppress(MergeConflict, NothingToMerge):
                self.attempt(pulls.merge_pull_request, self.site, owner, MODEL, self.names[r], num, now=self.now)

    @rule(r=repo)
    def merge_packs(self, r: int) -> None:
        merge_packs(self.site, {"repo_id": self.repo_id(r)})

    @rule(r=repo)
    def squash_and_prune(self, r: int) -> None:
        owner = self.people[self.names[r].namespace]
        squash_branch(self.site, owner, MODEL, self.names[r], "main")
        prune_repository(self.site, SYSTEM, self.repo_id(r))

    @rule(n=content, r=repo, rewrite=st.booleans())
    def forget_a_file(self, n: int, r: int, rewrite: bool) -> None:
        owner = self.people[self.names[r].namespace]
        delete_large_files(self.site, owner, MODEL, self.names[r], [DIGESTS[n]], rewrite_history=rewrite)

    @rule(r=repo, private=st.booleans())
    def hide_or_show(self, r: int, private: bool) -> None:
        owner = self.people[self.names[r].namespace]
        self.attempt(
            self.site.db.write,
            repos.change_settings,
            owner,
            MODEL,
            self.names[r],
            repos.Settings(is_private=private),
            now=self.now,
        )

    @rule(r=repo, who=person)
    def move(self, r: int, who: str) -> None:
        target = RepoName(who, self.names[r].name)
        moved = self.attempt(
            self.site.db.write, repos.move_repository, SYSTEM, MODEL, self.names[r], target, now=self.now
        )
        if moved is not None:
            self.names[r] = target

    @rule(r=repo, who=person)
    def duplicate_and_delete(self, r: int, who: str) -> None:
        self.n += 1
        source = self.site.db.read(repos.list_all, SYSTEM, self.names[r].namespace)
        if next(x for x in source.items if x.name == self.names[r]).is_private and who != self.names[r].namespace:
            return
        target = RepoName(who, f"copy{self.n}")
        made = self.attempt(repos.duplicate_repository, self.site, self.people[who], MODEL, self.names[r], target)
        if made is not None and self.n % 3:
            self.site.db.write(repos.delete_repository, self.people[who], MODEL, target, now=self.now)

    @rule(r=repo)
    def delete_and_make_anew(self, r: int) -> None:
        owner = self.names[r].namespace
        self.site.db.write(repos.delete_repository, self.people[owner], MODEL, self.names[r], now=self.now)
        self.pulls[r] = []
        self.n += 1
        name = RepoName(owner, f"again{self.n}")
        made = self.attempt(repos.create_repository, self.site, self.people[owner], MODEL, name)
        if made is None:  # full: others of theirs must go first
            for each in self.site.db.read(repos.list_all, SYSTEM, owner).items:
                if each.name not in self.names:
                    self.site.db.write(repos.delete_repository, SYSTEM, MODEL, each.name, now=self.now)
            self.site.db.write(set_limits, SYSTEM, owner, quotas.Limits(None, None, None), now=self.now)
            made = repos.create_repository(self.site, self.people[owner], MODEL, name)
            self.site.db.write(set_limits, SYSTEM, owner, quotas.Limits(LIMIT, LIMIT // 2, 4), now=self.now)
        self.names[r] = name

    @rule(days=st.integers(1, 9))
    def days_pass(self, days: int) -> None:
        for _ in range(days):
            self.now += timedelta(days=1)
            collector.collect(self.site, now=self.now)
            uploads.collect(self.site, now=self.now)

    @invariant()
    def counters_are_what_they_count(self) -> None:
        assert self.site.db.read(recount.find_differences) == []

    @invariant()
    def a_claim_is_charged_until_the_repository_has_its_digest(self) -> None:
        with self.site.db.reading() as tx:
            from sqlalchemy import select

            from headwater.hub.tables.files import file_right, upload_claim

            rights = {(row.repo_id, row.sha256) for row in tx.execute(select(file_right))}
            for row in tx.execute(select(upload_claim)):
                assert (row.charged_to is None) == ((row.repo_id, row.sha256) in rights)


Charges.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # the failing history is short enough to read
)
TestCharges = Charges.TestCase
