"""Limits as people type and read them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.hub.quotas.service import MAX_LIMIT, parse_limit, spell_size


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0"),
        (999, "999"),
        (500 * 10**9, "500 GB"),
        (100 << 30, "100 GiB"),
        (1_500_000_000_000, "1.5 TB"),
        (1001, "1001"),
    ],
)
def test_a_size_is_spelt_as_people_write_it(n_bytes, text):
    assert spell_size(n_bytes) == text


@given(st.integers(0, MAX_LIMIT))
@example(MAX_LIMIT)
def test_what_is_spelt_is_read_as_just_that(n_bytes):
    assert parse_limit(spell_size(n_bytes)) == n_bytes
