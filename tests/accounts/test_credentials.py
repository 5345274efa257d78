from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.accounts import credentials, passwords
from headwater.accounts.errors import WeakPassword


def test_a_token_has_its_prefix_length_and_checksum():
    token = credentials.new_token()
    assert token.startswith("hw_")
    assert len(token) == 41
    assert credentials.is_token(token)
    assert credentials.checksum("hw_" + "0" * 32) == "49HUhz"  # published form: a scanner may rely on it


@given(st.integers(min_value=3, max_value=40), st.sampled_from("0AZaz9"))
def test_a_token_with_one_letter_changed_is_none(at, letter):
    token = credentials.new_token()
    changed = token[:at] + letter + token[at + 1 :]
    assert credentials.is_token(changed) == (changed == token)


@given(st.text(max_size=60))
def test_other_texts_are_no_tokens(text):
    assert not credentials.is_token(text)


@given(st.text(max_size=200))
def test_any_header_gives_a_secret_or_none(header):
    assert credentials.secret_of_authorization(header) is None or isinstance(
        credentials.secret_of_authorization(header), str
    )


def test_basic_gives_the_password_whatever_the_user():
    for user in ("ada", "", "user:"[:-1], "x-access-token"):
        value = base64.b64encode(f"{user}:hw_x:y".encode()).decode()
        assert credentials.secret_of_authorization(f"Basic {value}") == "hw_x:y"
    assert credentials.secret_of_authorization("Basic !!!") is None
    assert credentials.secret_of_authorization("Digest abc") is None


def test_passwords_are_hashed_by_argon2id_and_compared():
    stored = passwords.hash_password("correct horse")
    assert stored.startswith("$argon2id$")
    assert passwords.matches(stored, "correct horse")
    assert not passwords.matches(stored, "correct hors")
    assert not passwords.matches(None, "correct horse")
    assert not passwords.matches("not a hash", "correct horse")


@pytest.mark.parametrize("password", ["short", "x" * 1025, "password1", "adalovelace"])
def test_weak_passwords_are_refused(password):
    with pytest.raises(WeakPassword):
        passwords.check_strength(password, name="AdaLovelace")
