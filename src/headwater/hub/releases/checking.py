"""Whether signatures over revisions are those that the record tells of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from headwater import ledger
from headwater.db import Tx
from headwater.hub.releases import bundle
from headwater.hub.tables.releases import release_signature
from headwater.kernel import HeadwaterError

if TYPE_CHECKING:
    from headwater.hub.checking.models import Looking, Problem

_Told = dict[tuple[int, str, str], tuple[str, str]]
"""By repository, commit and key: the bundle's sha256, and who brought it."""


def check_releases(looking: Looking) -> Iterator[Problem]:
    """A checker of ``hub.checking``: each signature is the recorded one, by the key beside it; none is gone."""
    yield from looking.site.db.read(_check)


def _check(tx: Tx) -> list[Problem]:
    from headwater.hub.checking.models import BY_HAND, Problem

    told, found = _recorded(tx), []
    for row in tx.execute(select(release_signature).execution_options(yield_per=20)):
        key = row.repo_id, row.commit_id, row.key_id
        digest = hashlib.sha256(row.bundle.encode()).hexdigest()
        if told.pop(key, None) != (digest, row.added_by) or not _is_by_its_key(row):
            what = f"The signature {row.id} over {row.commit_id} is not the one in the record."
            found.append(Problem("release.differs", what, f"signature {row.id}", BY_HAND))
    for repo_id, commit, key_id in told:
        what = f"The signature by {key_id} over {commit} stands in the record and is not here."
        found.append(Problem("release.lost", what, f"signature {repo_id} {commit} {key_id}", BY_HAND))
    return found


def _is_by_its_key(row: Any) -> bool:
    try:
        key, parsed = bundle.load_public_key(row.public_key), bundle.parse(row.bundle.encode())
        bundle.check_signature(parsed, key)
    except HeadwaterError:
        return False
    said = row.key_id, row.public_key, row.n_files
    return bool(said == (bundle.key_id(key), bundle.public_pem(key), len(parsed.statement.files)))


def _recorded(tx: Tx) -> _Told:
    told: _Told = {}
    for entry in ledger.iter_entries(tx, kind="release.signed"):
        try:
            facts = entry.facts()
            if entry.repo_id is not None:
                told[entry.repo_id, str(facts["commit"]), str(facts["key"])] = str(facts["bundle"]), entry.actor()
        except (ValueError, KeyError, TypeError):
            continue  # the record's own check tells of it
    return told
