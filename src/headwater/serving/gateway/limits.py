"""How much one key, one account, and all who ask one owner's endpoints may use in a minute and in a day.

As ``web.rates``, whose table it shares: each process counts in memory, tells the others by one row for each count, aside, and
learns from the answer what they counted. Nobody waits for that, so a site of W processes can let through a little more than
the limit: what was under way in the others. Tokens are counted once an answer tells how many they were; while it is being
made, the prompt's length stands for them.

Rows of ``rate_use`` are swept by their window's number, of five minutes each: those here carry the number in which their own
time ends, and the begin of that in their key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from headwater.db import Database
from headwater.kernel import HeadwaterError
from headwater.serving.errors import RateLimited
from headwater.serving.models import Limits
from headwater.web.rates import WINDOW_S, add_use

MINUTE_S, DAY_S = 60, 86_400
MOST_KEYS = 50_000
SHARE = 50  # what is counted before it is told is this part of a limit
CHARS_PER_TOKEN = 4
_SPANS = ((MINUTE_S, "minute", "in a minute"), (DAY_S, "day", "in a day"))


@dataclass(frozen=True)
class Subject:
    """Whose use is counted, and by which limits. ``key`` names it for good: t5, a7, o9; ``whose`` names it to people."""

    key: str
    whose: str
    limits: Limits


@dataclass(slots=True)
class _Count:
    """``told``: what all had counted when last asked, this process included; ``aside``: what is under way here."""

    told: int = 0
    own: int = 0  # since then
    flying: int = 0  # being told now
    aside: int = 0

    @property
    def n(self) -> int:
        return self.told + self.own + self.flying + self.aside


@dataclass(slots=True, eq=False)
class Taken:
    """One request that was let in: what was set aside for it, to be made true at its end; and what its answer's head says."""

    counted: list[tuple[str, int, int]]  # key, span, limit: of tokens
    guess: int
    headers: dict[str, str]


class Budget:
    """A site part of each web worker."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock
        self._lock = threading.RLock()  # what was kept at once is told of at once
        self._counts: dict[
            tuple[str, int], tuple[int, _Count]
        ] = {}  # by key and span: begin of its time, and the count

    def take(self, subjects: Iterable[Subject], prompt_chars: int) -> Taken:
        """Let one more request in.

        Raises:
            RateLimited: with the headers that OpenAI's API has.
        """
        now = self._clock()
        guess = prompt_chars // CHARS_PER_TOKEN + 1
        tokens: list[tuple[str, int, int]] = []
        requests: list[tuple[str, int, int]] = []
        tightest: dict[str, tuple[int, int, float]] = {}  # what -> limit, remaining, resets after
        with self._lock:
            for subject in subjects:
                for span_s, name, per in _SPANS:
                    for what, n_new in (("requests", 1), ("tokens", guess)):
                        limit: int = getattr(subject.limits, f"{what}_{name}")
                        if not limit:
                            continue
                        key = f"{subject.key}:{what[0]}"
                        count = self._count(key, span_s, now)
                        wait_s = span_s - now % span_s
                        if count.n >= limit:
                            headers = _headers({**tightest, what: (limit, 0, wait_s)})
                            raise RateLimited(what, subject.whose, limit, per, int(wait_s) + 1, headers)
                        left = max(0, limit - count.n - n_new)
                        if what not in tightest or left < tightest[what][1]:
                            tightest[what] = (limit, left, wait_s)
                        (requests if what == "requests" else tokens).append((key, span_s, limit))
            for key, span_s, limit in requests:
                self._add(key, span_s, limit, 1, now)
            for key, span_s, _ in tokens:
                self._count(key, span_s, now).aside += guess
        return Taken(tokens, guess, _headers(tightest))

    def settle(self, taken: Taken, n_tokens: int) -> None:
        """How many tokens it was."""
        now = self._clock()
        with self._lock:
            for key, span_s, limit in taken.counted:
                count = self._count(key, span_s, now)
                count.aside = max(0, count.aside - taken.guess)  # nothing is, where its time has begun anew meanwhile
                self._add(key, span_s, limit, n_tokens, now)

    def _count(self, key: str, span_s: int, now: float) -> _Count:
        begin = int(now // span_s)
        found = self._counts.get((key, span_s))
        if found is None or found[0] != begin:
            if len(self._counts) >= MOST_KEYS:
                self._counts.clear()
            found = self._counts[key, span_s] = (begin, _Count())
        return found[1]

    def _add(self, key: str, span_s: int, limit: int, n: int, now: float) -> None:
        count = self._count(key, span_s, now)
        count.own += n
        self._tell(key, span_s, int(now // span_s), count, limit)

    def _tell(self, key: str, span_s: int, begin: int, count: _Count, limit: int) -> None:
        """Tell the others, where it is enough to be told; what comes while that is written is told after it."""
        if count.flying or not count.own or count.own * SHARE < limit:
            return
        count.flying, count.own = count.own, 0
        n_told, window = count.flying, int(((begin + 1) * span_s) // WINDOW_S) + 1

        def keep(done: Future[int]) -> None:
            with self._lock:
                is_kept = not done.cancelled() and done.exception() is None
                if is_kept:
                    count.told = done.result()
                else:
                    count.own += count.flying
                count.flying = 0
                if is_kept:
                    self._tell(key, span_s, begin, count, limit)

        try:
            writing = self._db.submit(add_use, f"{key}{span_s}@{begin}", window, n_told, sweeps=False)
        except HeadwaterError:  # the site takes no writes: each process counts for itself
            count.told, count.flying = count.told + n_told, 0
            return
        writing.add_done_callback(keep)


def _headers(tightest: dict[str, tuple[int, int, float]]) -> dict[str, str]:
    """What OpenAI's API says of limits with every answer."""
    found = {}
    for what, (limit, left, reset_s) in tightest.items():
        found[f"x-ratelimit-limit-{what}"] = str(limit)
        found[f"x-ratelimit-remaining-{what}"] = str(left)
        found[f"x-ratelimit-reset-{what}"] = f"{reset_s:.3f}s"
    return found
