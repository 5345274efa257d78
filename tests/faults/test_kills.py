"""Kill -9 at random moments: 50 in the tests, as many as ``FAULTS`` says in ``make faults``.

Before each death clients commit, upload (LFS and Xet), push and race for a branch over HTTP, while packs are merged and pruned and the
collector runs. After it everything that was acknowledged is there, a whole check finds nothing wrong, and each race had one winner.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.killing import Killing
from tests.faults.launcher import Launcher
from tests.growth import only_on_one_machine

KILLS = int(os.environ.get("FAULTS", "50"))
A_SITE = 50  # then a new one: a check of everything comes after each kill
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1 << 32)

pytestmark = [only_on_one_machine, pytest.mark.timeout(60 + 30 * KILLS)]


def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, n_acts = random.Random(SEED), 0
    with Launcher() as launcher:
        killing = None
        for number in range(KILLS):
            if number % A_SITE == 0:
                folder = tmp_path / f"site{number}"
                folder.mkdir()
                killing = Killing(folder, launcher, rng)
            assert killing is not None
            before = killing.truth.n_acts
            try:
                killing.run()
            except BaseException:
                with capsys.disabled():
                    print(f"\nkill {number} of {KILLS}, FAULTS_SEED={SEED}, {folder}")
                raise
            n_acts += killing.truth.n_acts - before
            if KILLS > A_SITE and number % A_SITE == A_SITE - 1:
                with capsys.disabled():
                    print(f"\n{number + 1} kills, {n_acts} acknowledged writes, 0 lost", flush=True)
    assert n_acts > KILLS  # they did get something done
