from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater import accounts
from headwater.accounts import BadAccountName
from headwater.accounts.service.federated import name_from

ALLOWED = set(string.ascii_letters + string.digits + "._-")


@pytest.mark.parametrize("name", ["ada", "Ada.Lovelace", "x", "lab-7", "a_b", "0", "a" * 96, "deepseek-ai", "01.AI"])
def test_plain_names_may_be_given(name):
    assert accounts.check_account_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 97,
        "-ada",
        "ada-",
        ".ada",
        "ada.",
        "_a",
        "a..b",
        "a--b",
        "a/b",
        "a b",
        "a\x00b",
        "a\nb",
        "ada\n",
        "аda",  # Cyrillic а
        "ada\u200b",
        "ａda",  # full width
        "ßeta",
        "源头",
        "a%2eb",
        "a\\b",
        "ada.git",
        "ADA.GIT",
        "models.json",
        "api",
        "Datasets",
        "settings",
        "ADMIN",
        "headwater",
    ],
)
def test_others_are_refused_with_the_reason(name):
    with pytest.raises(BadAccountName) as refusal:
        accounts.check_account_name(name)
    assert refusal.value.why


@given(st.text(max_size=120))
def test_any_text_is_a_name_or_is_refused(text):
    try:
        accounts.check_account_name(text)
    except BadAccountName:
        return
    assert set(text) <= ALLOWED
    assert accounts.name_key(text) not in accounts.RESERVED


@given(st.text(max_size=200))
@example("0.HTML")
@example("page.json@elsewhere")
@example("a.git")
@example("Admin")
@example("a.-.git.git" + "x" * 200)
def test_whatever_another_site_calls_someone_a_name_comes_out(wish):
    name = name_from(wish)
    assert accounts.check_account_name(name) == name
    assert len(name) <= 96 - 4 + len("person-")


def test_every_first_segment_of_a_route_is_reserved():
    from headwater.server import routes

    heads = {route.pattern.split("/")[1] for route in routes()}
    words = {head for head in heads if head and "{" not in head and head[0].isalnum()}
    assert words <= accounts.RESERVED, f"reserve these: {sorted(words - accounts.RESERVED)}"
