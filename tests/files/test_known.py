"""What follows from a commit is kept in memory, within bounds, and only as long as it can be asked for again."""

from __future__ import annotations

from headwater.hub.content.known import KnownFacts


def test_facts_of_a_newer_version_take_the_place_of_the_older():
    known = KnownFacts()
    for version in range(100):
        known.keep("repository", version, {"siblings": b"x" * 1000}, bytes.decode)
    assert known.find("repository", 99) == {"siblings": "x" * 1000}
    assert known.find("repository", 98) is None
    assert known._held == 2000  # what is forgotten is no longer counted


def test_facts_that_are_too_large_are_not_kept_nor_is_what_they_replace():
    known = KnownFacts()
    known.keep("repository", 1, {"siblings": b"x"}, bytes.decode)
    known.keep("repository", 2, {"siblings": b"x" * KnownFacts.LARGEST_BYTES}, bytes.decode)
    assert known.find("repository", 1) is None
    assert known.find("repository", 2) is None


def test_all_facts_together_stay_below_the_bound():
    known = KnownFacts()
    text = b"x" * 200_000
    for repository in range(100):
        known.keep(repository, 1, {"siblings": text}, bytes.decode)
    kept = [repository for repository in range(100) if known.find(repository, 1)]
    assert kept == list(range(100 - len(kept), 100))
    assert 30 < len(kept) <= KnownFacts.LIMIT_BYTES // len(text)
