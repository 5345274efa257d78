"""Random uploads, commits, deletions and runs of the collector, against a short model of what must be readable."""

from __future__ import annotations

import hashlib
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headwater.blobs import blob_key, read_all
from headwater.hub import collector, files
from headwater.hub.errors import BlobNotStored
from headwater.hub.files import store
from headwater.hub.xet import ingest
from headwater.hub.xet import store as xet_store
from headwater.hub.xet.errors import BadShard
from headwater.hub.xet.xorbs import index_key
from headwater.kernel import Sha256, utcnow
from tests.storage import make_storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard

XORBS = [MadeXorb([bytes([n, i]) * 300 for i in range(4)]) for n in range(3)]
CONTENTS = [b"".join(x.chunks) for x in XORBS]  # what comes by Xet may come plain as well: one file, one identity
DIGESTS = [Sha256(hashlib.sha256(c).hexdigest()) for c in CONTENTS]
DAY = timedelta(days=1)

content = st.integers(0, len(XORBS) - 1)
repo = st.integers(0, 1)


class Bytes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.storage = make_storage(Path(self.folder.name) / "data")
        self.repos = [self.storage.repo("ada", f"m{n}") for n in range(2)]
        self.site, self.ada = self.storage.site, self.storage.person("ada")
        self.start = self.now = utcnow()
        self.rights: set[tuple[int, int]] = set()
        self.sent_at: dict[int, object] = {}  # when a xorb was last promised

    def teardown(self) -> None:
        self.site.db.close()
        self.folder.cleanup()

    @rule(n=content, r=repo)
    def upload_plain(self, n: int, r: int) -> None:
        files.store_plain(self.site, self.ada, self.repos[r], CONTENTS[n])
        assert not self.missing(n, r)

    @rule(n=content, r=repo)
    def upload_by_xet(self, n: int, r: int) -> None:
        grant = grant_of(self.storage, "ada", self.repos[r])
        ingest.accept_xorb(self.site, grant, XORBS[n].name, Body(XORBS[n].body))
        self.send_shard(n, r)

    @rule(n=content, r=repo)
    def refer_to_what_was_sent(self, n: int, r: int) -> None:
        try:
            self.send_shard(n, r)
        except BadShard:
            assert XORBS[n].name not in self.stored_xorbs()

    def send_shard(self, n: int, r: int) -> None:
        grant = grant_of(self.storage, "ada", self.repos[r])
        checked = ingest.check_shard(self.site, grant, make_shard([([(XORBS[n], 0, 4)], DIGESTS[n])]))
        ingest.finish_shard(self.site, grant, checked, lambda _: None)
        assert not self.missing(n, r)

    @rule(n=content, r=repo)
    def commit(self, n: int, r: int) -> None:
        allowed = not self.missing(n, r)
        try:
            self.site.db.write(files.grant_rights, self.repos[r], {DIGESTS[n]: "w"}, actor=self.ada, now=self.now)
        except BlobNotStored:
            assert not allowed
        else:
            assert allowed
            self.rights.add((n, r))

    @rule(n=content, r=repo)
    def take_from_the_repository(self, n: int, r: int) -> None:
        self.site.db.write(files.drop_rights, self.repos[r], [DIGESTS[n]])
        self.rights.discard((n, r))

    @rule(count=st.integers(1, 9))
    def days_pass(self, count: int) -> None:
        for _ in range(count):
            self.now += DAY
            collector.collect(self.site, now=self.now)

    def missing(self, n: int, r: int) -> bool:
        return bool(self.site.db.read(files.find_missing, self.ada, self.repos[r], [DIGESTS[n]]))

    def stored_xorbs(self) -> set[str]:
        return {
            name for name, x in self.site.db.read(xet_store.find_xorbs, [x.name for x in XORBS]).items() if x.is_stored
        }

    @invariant()
    def what_a_repository_has_is_there(self) -> None:
        for n, r in self.rights:
            assert read_all(files.open_file(self.site, self.repos[r], DIGESTS[n])) == CONTENTS[n]

    @invariant()
    def every_row_has_its_bytes_and_nothing_else_lies_there(self) -> None:
        with self.site.db.reading() as tx:
            blobs = store.find_blobs(tx, DIGESTS)
            xorbs = xet_store.find_xorbs(tx, [x.name for x in XORBS])
        expected = {
            *(blob_key(b.sha256, b.generation) for b in blobs.values() if b.is_stored and b.layout == "plain"),
        }
        for x in xorbs.values():
            if x.is_stored:
                payload = files.payload_key(x.hash, x.generation)
                expected |= {payload, index_key(payload)}
        assert set(self.storage.files_left()) == expected


Bytes.TestCase.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBytes = Bytes.TestCase
