"""Signed notes: others' vectors, what is refused, and that nobody else's signature counts."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.ledger.notes import (
    COSIGNS,
    BadLogKey,
    BadNote,
    Checkpoint,
    SignerKey,
    cosigned_at,
    parse_checkpoint,
    parse_key,
    parse_note,
)
from headwater.ledger.tree import EMPTY_ROOT, Tree
from headwater.ledger.witnessing import Answer, Seen, judge, parse_request, write_request
from tests.log.test_tree import GROWN

# The example of the Go implementation of signed notes, made by others.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
LOG = SignerKey("headwater/one", bytes(range(32)))
WITNESS = SignerKey("witness.example/w", bytes(range(1, 33)))


def signed(size: int, signer: SignerKey = LOG, origin: str = "headwater/one", root: bytes | None = None) -> str:
    text = Checkpoint(origin, size, Tree(size, GROWN.read).root() if root is None else root).text
    return f"{text}\n{signer.sign(text)}"


def test_a_note_that_others_have_signed() -> None:
    key = parse_key(GO_KEY)
    assert str(key) == GO_KEY
    assert parse_note(GO_NOTE).is_signed_by(key)
    assert not parse_note(GO_NOTE.replace("answer", "Answer")).is_signed_by(key)


def test_a_checkpoint_is_what_was_signed_and_by_whom() -> None:
    note = parse_note(signed(5))
    assert parse_checkpoint(note.text).size == 5
    assert note.is_signed_by(LOG.verifier())
    assert not note.is_signed_by(SignerKey("headwater/one", bytes(32)).verifier())
    assert not note.is_signed_by(SignerKey("headwater/two", bytes(range(32))).verifier())
    assert not note.is_signed_by(LOG.verifier(COSIGNS))


def test_a_cosignature_says_when() -> None:
    whole = signed(5) + WITNESS.cosign(parse_note(signed(5)).text, 1_700_000_000)
    found = parse_note(whole).signature_of(parse_key(str(WITNESS.verifier(COSIGNS))))
    assert found is not None
    assert cosigned_at(found) == 1_700_000_000
    assert not parse_note(whole).is_signed_by(WITNESS.verifier())


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "a\n1\n\n", signed(5).replace("\n\n", "\n"), signed(5)[:-1], signed(5) + "\n", signed(5) + "x y z\n",
     signed(5).replace("— ", "- "), signed(5) + "— name AAAA\n", signed(5).replace("one", "o\x01e"), "x" * 70_000],
)  # fmt: skip
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        parse_checkpoint(parse_note(text).text)


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "\n1\nAAAA\n",
        "o\n01\nAAAA\n",
        "o\n-1\nAAAA\n",
        "o\n1\nAAAA\n",
        "o\n" + "9" * 30 + "\nAAAA\n",
        "o\n1\n*\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        parse_checkpoint(text)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_any_bytes_are_a_note_or_refused(data: bytes | str) -> None:
    with contextlib.suppress(BadNote):
        parse_checkpoint(parse_note(data).text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b",
        "a+b+c",
        "+c74f20a3+" + GO_KEY.split("+", 2)[2],
        GO_KEY.replace("c74f", "c74e"),
        GO_KEY[:-4],
        GO_KEY.replace("+A", "+B"),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadLogKey):
        parse_key(text)


# ---- what a witness answers

KNOWN = {"headwater/one": [LOG.verifier()]}


def ask(old: int, size: int, seen: Seen, **changes: object) -> Answer:
    tree = Tree(size, GROWN.read)
    proof = changes.get("proof", tree.consistency_proof(old) if old <= size else [])
    request = parse_request(write_request(old, proof, changes.get("signed", signed(size))))  # type: ignore[arg-type]
    return judge(request, KNOWN, seen, WITNESS, 1_700_000_000)


def seen(size: int) -> Seen:
    return Seen(size, Tree(size, GROWN.read).root())


def test_a_witness_confirms_what_has_grown() -> None:
    said = ask(0, 5, Seen())
    assert (said.status, said.keep) == (200, seen(5))
    assert parse_note(signed(5) + said.body).is_signed_by(WITNESS.verifier(COSIGNS))
    assert ask(5, 700, seen(5)).status == 200
    assert ask(700, 700, seen(700)).status == 200


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (lambda: ask(0, 5, Seen(), signed=signed(5, origin="headwater/two")), 404),
        (lambda: ask(0, 5, Seen(), signed=signed(5, SignerKey("headwater/one", bytes(32)))), 403),
        (lambda: ask(9, 5, Seen()), 400),
        (lambda: ask(0, 5, seen(3)), 409),
        (lambda: ask(3, 5, seen(4)), 409),
        (lambda: ask(5, 5, seen(5), signed=signed(5, root=bytes(32))), 409),
        (lambda: ask(3, 5, seen(3), proof=[bytes(32)]), 422),
        (lambda: ask(3, 5, Seen(3, bytes(32))), 422),
        (lambda: ask(0, 5, Seen(), proof=[bytes(32)]), 422),
    ],
)
def test_a_witness_refuses(said: object, status: int) -> None:
    answer = said()  # type: ignore[operator]
    assert answer.status == status
    assert answer.keep is None


def test_a_log_that_went_back_is_told_how_far_it_was() -> None:
    answer = ask(3, 5, seen(700))
    assert (answer.status, answer.body, answer.media_type) == (409, "700\n", "text/x.tlog.size")


@pytest.mark.parametrize(
    "body",
    [b"", b"old 1", b"old 01\n\n", b"old 1\n\n", b"new 1\n\n" + signed(1).encode(), b"old 1\nAAAA\n\n" + signed(1).encode(),
     b"old 1\n*\n\n" + signed(1).encode(), b"\xff", b"x" * 100_000,
     b"old 1\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + signed(1).encode()],
)  # fmt: skip
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadNote):
        parse_request(body)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_request_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadNote):
        parse_request(body)


def test_an_empty_log_has_the_root_of_nothing() -> None:
    assert parse_checkpoint(parse_note(signed(0)).text).root == EMPTY_ROOT
