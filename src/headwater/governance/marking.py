"""A repository's grade in short, for lists and the head of its pages: one query for many."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select

from headwater.db import Tx
from headwater.governance.tables import openness_grade
from headwater.hub.pages.marks import Grade
from headwater.kernel import RepoId

_TONES = {"G4": "good", "G3": "good", "G2": "good", "open": "good", "G1": "", "partial": "warn", "closed": "", "G0": ""}


def grades_of(tx: Tx, repo_ids: Collection[RepoId]) -> Mapping[RepoId, Grade]:
    table = openness_grade
    query = select(table.c.repo_id, table.c.label).where(table.c.repo_id.in_(list(repo_ids)))
    return {RepoId(row.repo_id): mark_of(row.label) for row in tx.execute(query) if row.label != "unknown"}


def mark_of(label: str) -> Grade:
    return Grade(label, f"openness.note_{label.lower()}", _TONES.get(label, ""))
