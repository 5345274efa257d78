"""Any bytes under any name give a judgement: the judges never fail, never hang, and never depend on more than the role."""

from __future__ import annotations

import random
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import scanning
from headwater.scanning import judging, roles, secrets
from headwater.scanning.reading import Forward
from tests.scanning.samples_texts import hostile, ordinary

SEEDS = [sample for sample in (*hostile(), *ordinary()) if len(sample.data) < 50_000]
NAMES = sorted({sample.name.rpartition("/")[2] for sample in SEEDS})


def rules_of(name: str, data: bytes) -> set[str]:
    return {finding.rule.id for finding in scanning.judge(name, scanning.Memory(data)).findings}


@given(st.sampled_from(NAMES), st.binary(max_size=2000))
def test_any_bytes_are_judged(name: str, data: bytes):
    assert "gate.not-judged" not in rules_of(name, data)


@given(st.sampled_from(SEEDS), st.sampled_from(NAMES), st.integers(0, 2**32))
def test_damaged_files_are_judged(sample, name: str, seed: int):
    rng = random.Random(seed)
    data = bytearray(sample.data)
    for _ in range(rng.randrange(8)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + rng.choice((1, 4, 8))] = b"\xff" * rng.choice((1, 4, 8))
            case 2:
                del data[at : at + rng.randrange(100)]
            case 3:
                data[at:at] = bytes(rng.randrange(100))
    for each in (sample.name, name):
        assert "gate.not-judged" not in rules_of(each, bytes(data))


@given(st.sampled_from(SEEDS), st.text(string.ascii_lowercase, min_size=1, max_size=8))
def test_one_role_and_the_same_bytes_are_one_judgement(sample, stem: str):
    role = roles.role_of(sample.name)
    folder, _, name = sample.name.rpartition("/")
    other = f"{stem}/{name}" if role in ("config", "card") else f"{folder}/{stem}-{name}"
    if roles.role_of(other) == role:
        first = scanning.judge(sample.name, scanning.Memory(sample.data))
        assert scanning.judge(other, scanning.Memory(sample.data)) == first


@pytest.mark.parametrize("sample", SEEDS, ids=lambda sample: sample.name)
@settings(max_examples=10)
@given(steps=st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_a_stream_is_judged_as_its_bytes_are(sample, steps: list[int]):
    """As a member of a compressed archive, where it can be told: at least as bad as the file by itself, whatever the runs are."""

    def runs():
        at, nth = 0, 0
        while at < len(sample.data):
            yield sample.data[at : at + steps[nth % len(steps)]]
            at, nth = at + steps[nth % len(steps)], nth + 1

    alone = scanning.judge(sample.name, scanning.Memory(sample.data))
    role = roles.role_of(sample.name).removesuffix(roles.DECEPTIVE)
    if any(kind in alone.kinds for kind in ("pickle", "tar")) and not alone.kinds & {"zip", "npy", "gzip", "zlib"}:
        streamed = judging._File(judging.Tally()).judge(role, Forward(runs()), 0)
        assert streamed.verdict >= alone.verdict


@given(st.binary(max_size=4000))
def test_secrets_lie_where_they_are_told(data: bytes):
    for secret in scanning.find_secrets(data):
        assert 0 <= secret.start < secret.end <= len(data)
        assert data.count(b"\n", 0, secret.start) == secret.line - 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("AWS access key", "AKIA" + "QWERTYUIOPASDFGH"),
        ("GitHub token", "ghp_" + "aB3" * 12),
        ("Hugging Face token", "hf_" + "abCdEfGhIj" * 3 + "abcd"),
        ("GitLab token", "glpat-" + "aB3-_" * 4),
        ("Google API key", "AIza" + "aB3-_" * 7),
        ("Alibaba Cloud access key", "LTAI" + "aB3dE" * 4),
        ("private key", "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAr0\n"),
        (secrets.OWN_KIND, "hw_" + "aB" * 19),
    ],
)
def test_a_secret_is_found_on_its_line(kind: str, text: str):
    found = scanning.find_secrets(f"one\ntwo\nkey = {text}\n".encode())
    assert [(secret.kind, secret.line) for secret in found] == [(kind, 3)]


@pytest.mark.parametrize(
    "text",
    ["AKIAIOSFODNN7EXAMPLE", "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "hw_short", "sk-not-one", "task-" + "a" * 40],
)
def test_examples_and_the_like_are_no_secrets(text: str):
    assert scanning.find_secrets(f"key = {text}\n".encode()) == []


def test_looking_for_secrets_takes_time_by_length_alone():
    fakes = (b"sk-" * 80 + b" T3BlbkFJ ") * 1000
    keys = b"\n".join(b"AKIA" + bytes(65 + int(digit) for digit in f"{n:016d}") for n in range(1000))
    data = bytes(8 << 20).replace(b"\0", b"\n") + keys
    began = time.thread_time()
    assert scanning.find_secrets(fakes) == []
    found = scanning.find_secrets(data)
    assert time.thread_time() - began < 2.0  # it took 13 s
    assert [secret.line for secret in found] == [(8 << 20) + 1 + n for n in range(1000)]


@pytest.mark.parametrize("end", [" ", ".", " . .", "::$DATA", " ::$data", "::$Data. "])
def test_a_name_is_what_windows_writes(end: str):
    for name in ("deep/model.pkl", "config.json", "m.safetensors", "notes.txt"):
        assert roles.role_of(name + end) == roles.role_of(name)
    assert roles.role_of(end) == "text"


def test_raw_numbers_raise_no_alarm() -> None:
    rng = random.Random(20)
    flagged = sum(bool(rules_of("weights.bin", rng.randbytes(600))) for _ in range(8000))
    assert flagged <= 4  # one in some 5,000 is a pickle as far as anybody can tell
