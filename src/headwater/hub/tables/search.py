"""The search index, tags, and what was downloaded when."""

from sqlalchemy import BigInteger, Boolean, Column, Date, ForeignKey, Index, Integer, String, Table, Text

from headwater.db import metadata

# Tags by value, to filter by. ``kind`` leads, because every list is of one kind.
repository_tag = Table(
    "repository_tag",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("tag", String(255), primary_key=True),
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Index("ix_repository_tag_repo", "repo_id"),
    sqlite_with_rowid=False,
)

# How many public repositories carry a tag: for the lists of tags and for facets of unfiltered lists. ``facet`` is what the tag
# begins with ("license" of "license:mit"), empty for free words.
tag_total = Table(
    "tag_total",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("tag", String(255), primary_key=True),
    Column("facet", String(32), nullable=False),
    Column("n_public", Integer, nullable=False),
    Index("ix_tag_total_most", "kind", "facet", "n_public"),
    sqlite_with_rowid=False,
)

# ``rank`` is the static rank and the rowid of the full-text index: the first hits it gives are the best known ones. Storage rules, 7.
# Apart from the documents, because lists of candidates look up a thousand of these and none of those.
search_entry = Table(
    "search_entry",
    metadata,
    Column("rank", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("repo_id", ForeignKey("repository.id"), nullable=False, unique=True),
    Column("is_public", Boolean, nullable=False),  # as counted in tag_total
    Column("n_parameters", BigInteger),
    Column("facets", Text, nullable=False),  # the tags that are counted beside a list, a line each
)

_COLUMNS = "name, parts, body, chars, marks"
# An index with external content must be told the old words exactly, or stale hits stay behind: triggers do.
_DROP = (
    f"INSERT INTO search_index(search_index, rowid, {_COLUMNS}) "
    "VALUES ('delete', old.rank, old.name, old.parts, old.body, old.chars, old.marks);"
)
_ADD = (
    f"INSERT INTO search_index(rowid, {_COLUMNS}) "
    "VALUES (new.rank, new.name, new.parts, new.body, new.chars, new.marks);"
)
_FULL_TEXT = [
    f"CREATE VIRTUAL TABLE search_index USING fts5({_COLUMNS}, content='search_document', content_rowid='rank', tokenize='ascii')",
    f"CREATE TRIGGER search_document_inserted AFTER INSERT ON search_document BEGIN {_ADD} END",
    f"CREATE TRIGGER search_document_deleted AFTER DELETE ON search_document BEGIN {_DROP} END",
    f"CREATE TRIGGER search_document_updated AFTER UPDATE OF rank, {_COLUMNS} ON search_document BEGIN {_DROP} {_ADD} END",
]

# On PostgreSQL one column of lexemes, each with its column's letter before it: the words as they are, by no parser. Positions are
# not kept, since a tsvector has only 16,383 of them and 255 of one word; phrases are looked for in the texts themselves.
_LEXEMES = " || ".join(
    f"string_to_array('{name[0]}' || replace({name}, ' ', ' {name[0]}'), ' ')" for name in _COLUMNS.split(", ")
)
# Each kind has so many ranks, one kind after another (``search.ranks``).
RANKS_OF_A_KIND = 1 << 61
N_KINDS = 3
# Of each kind, ranks that begin the next tier (``search.tiers``): what trends much, what trends, what somebody likes, and the rest.
RANK_TIERS = (((1 << 21) - (38 << 12)) << 40, ((1 << 21) - (19 << 12)) << 40, ((1 << 21) - (2 << 6)) << 40)
_TIER = " ".join(
    f"when rank < {place * RANKS_OF_A_KIND + end} then 'z{place}{tier}'"
    for place in range(N_KINDS)
    for tier, end in enumerate((*RANK_TIERS, RANKS_OF_A_KIND))
)
_LEXEME_INDEX = [
    f"ALTER TABLE search_document ADD COLUMN lexemes tsvector GENERATED ALWAYS AS (array_to_tsvector({_LEXEMES} || case {_TIER} end)) STORED",
    # Long columns lie apart, so that a page has the ranks of many documents: hits are fetched by pages.
    "ALTER TABLE search_document SET (toast_tuple_target = 128)",
    "CREATE INDEX search_document_lexemes ON search_document USING gin (lexemes) WITH (fastupdate = off)",
]

# The documents as they are indexed: words already cut by our own segmenter, one space between two.
search_document = Table(
    "search_document",
    metadata,
    Column("rank", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("parts", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("chars", Text, nullable=False),
    Column("marks", Text, nullable=False),
    info={"raw_sql": {"sqlite": _FULL_TEXT, "postgresql": _LEXEME_INDEX}},
)

# Downloads by day; ``repository.n_downloads`` holds the sum of the last thirty.
download_day = Table(
    "download_day",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Index("ix_download_day_day", "day"),
    sqlite_with_rowid=False,
)

download_total = Table(
    "download_total",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("n", BigInteger, nullable=False),
)

# When what is done once a day was last done, so that several workers, and restarts, do it once.
search_upkeep = Table(
    "search_upkeep",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("day", Date, nullable=False),
)
