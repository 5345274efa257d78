"""The log: entries numbered, signed and proven, in CPU seconds: ``python -m bench.log_bench``."""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime

from bench.harness import Report, workspace
from headwater import ledger
from headwater.db import Tx, open_database
from headwater.kernel import SYSTEM
from headwater.ledger import keys, sequencer
from headwater.ledger.tree import Edge, check_consistency, check_inclusion, leaf_hash

AT = datetime(2026, 1, 1, tzinfo=UTC)
STEP = 5000


def run(report: Report, *, n_entries: int) -> None:
    texts = [os.urandom(150) for _ in range(n_entries)]
    started = time.process_time()
    edge = Edge()
    for text in texts:
        edge.append(leaf_hash(text))
    rate = n_entries / (time.process_time() - started)
    report.add("appends to the tree alone", f"{rate:,.0f}/CPU s", "≥ 10,000/s", met=rate >= 10_000)
    with workspace() as folder:
        db = open_database(folder)
        db.ensure_schema()
        log = keys.ensure_log_key(db, folder, "bench")
        for start in range(0, n_entries, STEP):
            db.write(_record, start)
        started = time.process_time()
        while db.write(ledger.sequence):
            pass
        rate = n_entries / (time.process_time() - started)
        what = f"appends in SQLite, of {n_entries:,} entries that wait: leaves, tiles, head"
        report.add(what, f"{rate:,.0f}/CPU s", "≥ 10,000/s", met=rate >= 10_000)
        signer = keys.signer_of(log, folder)
        found = []
        for _ in range(50):
            started = time.process_time()
            checkpoint = db.read(sequencer.checkpoint_of, log.origin)
            signer.sign(checkpoint.text)
            found.append(time.process_time() - started)
        report.add("a root computed and signed", f"{min(found) * 1e3:.2f} CPU ms", "", met=None)
        rng, proving, checking, growing = random.Random(1), [], [], []
        for _ in range(200):
            index, old = rng.randrange(n_entries), rng.randrange(1, n_entries)
            with db.reading() as tx:
                started = time.process_time()
                proof = sequencer.tree_of(tx).inclusion_proof(index)
                proving.append(time.process_time() - started)
                started = time.process_time()
                grown = sequencer.tree_of(tx).consistency_proof(old)
                growing.append(time.process_time() - started)
                leaf = sequencer.find_leaf(tx, index)
                old_root = sequencer.tree_of(tx, old).root()
            assert leaf is not None
            started = time.process_time()
            assert check_inclusion(leaf.hash, index, n_entries, proof, checkpoint.root)
            checking.append(time.process_time() - started)
            assert check_consistency(old, old_root, n_entries, checkpoint.root, grown)
        db.close()
    for what, times in (("that an entry is in it", proving), ("that it has grown", growing)):
        middle = sorted(times)[len(times) // 2] * 1e3
        report.add(f"a proof {what}, out of SQL", f"{middle:.2f} CPU ms", "< 1 ms", met=middle < 1)
    report.add("checking a proof", f"{sorted(checking)[100] * 1e6:.0f} CPU µs", "", met=None)


def _record(tx: Tx, start: int) -> None:
    for number in range(start, start + STEP):
        facts = {"ref": "refs/heads/main", "old": f"{number:040x}", "new": f"{number + 1:040x}"}
        ledger.record(tx, SYSTEM, "ref.moved", "lab/river", facts, repo_id=1, now=AT)


if __name__ == "__main__":
    made = Report()
    run(made, n_entries=100_000)
    print(made.markdown())
