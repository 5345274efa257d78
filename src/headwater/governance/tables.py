"""Evidence, grades, overrides, and the links that cards name."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from headwater.db import JsonText, UtcDateTime, metadata

openness_grade = Table(
    "openness_grade",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("commit_id", String(40)),
    Column("rules", String(16), nullable=False),  # version of all rules together
    Column("label", String(16), nullable=False),  # "G2", or a value where there is no ladder
    Column("ladder", Integer),  # models alone; the machine's, from what was verified
    Column("licences", JsonText, nullable=False),  # keys, of what it stands under
    Column("declared", String(200), nullable=False),  # the licence as its card says it
    Column("texts", JsonText, nullable=False),  # keys of licences whose text lies in it
    Column("shows", JsonText, nullable=False),  # credits that its card shows
    Column("roles", JsonText, nullable=False),  # what its code does
    Column("digest", String(64), nullable=False),  # of all that others' evidence may come from
    Column("graded_at", UtcDateTime, nullable=False),
)

openness_evidence = Table(
    "openness_evidence",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("criterion", String(40), primary_key=True),
    Column("rule_version", Integer, nullable=False),
    Column("value", String(8), nullable=False),
    Column("basis", String(8), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("words", JsonText, nullable=False),
    Column("licence", String(64), nullable=False),
    Column("is_open_licence", Boolean, nullable=False),
    Column("evidence", JsonText, nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
)

openness_override = Table(
    "openness_override",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Column("criterion", String(40), nullable=False),
    Column("value", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("machine_value", String(8), nullable=False),  # what the rule said then
    Column("made_by", String(96), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("withdrawn_by", String(96)),
    Column("withdrawn_at", UtcDateTime),
    Index("override_of_repository", "repo_id", "criterion"),
    sqlite_autoincrement=True,
)

lineage_link = Table(
    "lineage_link",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("place", Integer, primary_key=True),  # in the card's order
    Column("way", String(16), nullable=False),  # derived, data, outputs; or a role that carries no conditions
    Column("relation", String(16), nullable=False),  # as the card calls it: finetune, quantized …
    Column("target_kind", String(16), nullable=False),
    Column("target_key", String(200), nullable=False),  # folded, as names are looked up
    Column("target_name", String(200), nullable=False),
    Column("pinned", String(64), nullable=False),
    Index("link_by_target", "target_kind", "target_key"),
)
