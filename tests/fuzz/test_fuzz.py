"""Any bytes at every parser of ``targets``: 400 cases each in the tests, FUZZ_S seconds each in ``make fuzz``.

Cases are damaged examples, examples put together, and noise; each is a function of one seed, which a failure names. What a
parser answers is of no interest here; that it answers or refuses as it says, and soon, is.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.fuzz.targets import TARGETS, Target
from tests.xet.making import MadeXorb, make_shard

SECONDS = float(os.environ.get("FUZZ_S", "0"))
CASES = 400
SEED = int(os.environ.get("FUZZ_SEED", "0"))
LONGEST_S = 2.0  # of the processor's time, for at most 64 KiB
INTERESTING = (
    b"\0",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\x80",
    b"\n",
    b"\r\n",
    b"..",
    b"/",
    b'"',
    b"{",
    b"[" * 60,
    b"e999",
    b"-1",
)
WORDS = (b"__proto__", b"%00", "﷽".encode(), b"18446744073709551616", b"NaN", b"\xef\xbb\xbf", b"<script>", b"\x1b[31m")

pytestmark = pytest.mark.timeout(60 + 20 * max(SECONDS, 1))


def seeds_of(name: str, target: Target) -> tuple[bytes, ...]:
    if name == "shard":
        xorb = MadeXorb([b"a" * 100, b"b" * 200])
        return (make_shard([([(xorb, 0, 2)], "ab" * 32)]),)
    return target.seeds


def case(rng: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    if rng.random() < 0.08:
        return rng.randbytes(rng.randrange(300))
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                piece = rng.choice(INTERESTING)
                data[at : at + len(piece)] = piece
            case 3:
                data[at:at] = rng.choice((*INTERESTING, *WORDS))
            case 4:
                del data[at : at + rng.randrange(1, 20)]
            case 5:
                data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.randrange(60)]
            case 6:
                data = data[:at]
            case _:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other) + 1) :]
        if len(data) > 1 << 16:
            break
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused(name: str) -> None:
    target, number, started = TARGETS[name], 0, time.monotonic()
    seeds = seeds_of(name, target)
    while number < CASES or time.monotonic() - started < SECONDS:
        data = case(random.Random(f"{SEED}-{name}-{number}"), seeds)
        began = time.process_time()
        try:
            target.run(data)
        except target.refuses:
            pass
        except BaseException as exc:
            raise AssertionError(f"{name}, case {number} of FUZZ_SEED={SEED}: {data[:2000]!r}") from exc
        took_s = time.process_time() - began
        assert took_s < LONGEST_S, f"{name}, case {number} of FUZZ_SEED={SEED} took {took_s:.1f} s: {data[:2000]!r}"
        number += 1


@pytest.mark.parametrize("name", TARGETS)
def test_the_examples_to_start_from_are_taken(name: str) -> None:
    """Else the damage would be done to what is refused at its first byte."""
    target = TARGETS[name]
    if name in (
        "signed link",
        "signed note",
        "witness request",
        "backup manifest",
        "picture",
        "cursor",
        "judged archive",
    ):
        return  # cannot be whole without a key or a file
    for seed in seeds_of(name, target):
        target.run(seed)
