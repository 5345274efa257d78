"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
breaks_before = "0001"


def upgrade() -> None:

    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("name_key", sa.String(length=96), nullable=False),
        sa.Column("full_name", sa.Text(), server_default="", nullable=False),
        sa.Column("details", sa.Text(), server_default="", nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("is_site_admin", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("suspended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind in ('person', 'organisation')", name=op.f("ck_account_known_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name_key", name=op.f("uq_account_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("layout", sa.String(length=8), nullable=False),
        sa.Column("xet_hash", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("condemned_at", sa.BigInteger(), nullable=True),
        sa.Column("copy_generation", sa.BigInteger(), nullable=True),
        sa.Column("copy_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("layout in ('plain', 'xet')", name=op.f("ck_blob_known_layout")),
        sa.CheckConstraint("state in ('live', 'condemned', 'deleting', 'gone')", name=op.f("ck_blob_known_state")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blob")),
    )
    op.create_index(
        "ix_blob_copy",
        "blob",
        ["copy_used_at"],
        unique=False,
        sqlite_where=sa.text("copy_generation IS NOT NULL"),
        postgresql_where=sa.text("copy_generation IS NOT NULL"),
    )
    op.create_index(op.f("ix_blob_xet_hash"), "blob", ["xet_hash"], unique=False)
    op.create_table(
        "bytes_fact",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_bytes_fact")),
    )
    op.create_table(
        "entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=True),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_entry_owner", "entry", ["owner_id", "id"], unique=False)
    op.create_index("ix_entry_repo", "entry", ["repo_id", "id"], unique=False)
    op.create_table(
        "gate_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rules", sa.String(length=64), nullable=False),
        sa.Column("marked_below", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_state")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("unique_key", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('waiting', 'running', 'failed')", name=op.f("ck_job_known_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_due", "job", ["state", "run_at", "id"], unique=False)
    op.create_index(
        "uq_job_waiting_key",
        "job",
        ["unique_key"],
        unique=True,
        sqlite_where=sa.text("state = 'waiting' and unique_key is not null"),
        postgresql_where=sa.text("state = 'waiting' and unique_key is not null"),
    )
    op.create_table(
        "lfs_pointer",
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("oid", name=op.f("pk_lfs_pointer")),
    )
    op.create_index(op.f("ix_lfs_pointer_sha256"), "lfs_pointer", ["sha256"], unique=False)
    op.create_table(
        "log_checkpoint",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "size", name=op.f("pk_log_checkpoint")),
    )
    op.create_table(
        "log_cosignature",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("witness", sa.String(length=255), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("cosigned_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "size", "witness", name=op.f("pk_log_cosignature")),
    )
    op.create_table(
        "log_head",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("edge", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_log_head_one_log")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_log_head")),
    )
    op.create_table(
        "log_identity",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("public", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_log_identity")),
    )
    op.create_table(
        "log_tile",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "idx", name=op.f("pk_log_tile")),
    )
    op.create_table(
        "periodic_run",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_periodic_run")),
    )
    op.create_table(
        "quota_default",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("configured", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=False),
        sa.Column("in_force", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota_default")),
    )
    op.create_table(
        "rate_use",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("window", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "window", name=op.f("pk_rate_use")),
    )
    op.create_index("ix_rate_use_window", "rate_use", ["window"], unique=False)
    op.create_table(
        "run_host",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("runner", sa.String(length=16), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("chip", sa.String(length=64), nullable=True),
        sa.Column("extras", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_host")),
    )
    op.create_table(
        "schema_reach",
        sa.Column("breaks_before", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("breaks_before", name=op.f("pk_schema_reach")),
    )
    op.create_table(
        "scrub_place",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("after", sa.String(length=256), nullable=False),
        sa.Column("round_began_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("n_objects", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_problems", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_scrub_place")),
    )
    op.create_table(
        "search_document",
        sa.Column("rank", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("chars", sa.Text(), nullable=False),
        sa.Column("marks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rank", name=op.f("pk_search_document")),
        info={
            "raw_sql": {
                "sqlite": [
                    "CREATE VIRTUAL TABLE search_index USING fts5(name, parts, body, chars, marks, content='search_document', content_rowid='rank', tokenize='ascii')",
                    "CREATE TRIGGER search_document_inserted AFTER INSERT ON search_document BEGIN INSERT INTO search_index(rowid, name, parts, body, chars, marks) VALUES (new.rank, new.name, new.parts, new.body, new.chars, new.marks); END",
                    "CREATE TRIGGER search_document_deleted AFTER DELETE ON search_document BEGIN INSERT INTO search_index(search_index, rowid, name, parts, body, chars, marks) VALUES ('delete', old.rank, old.name, old.parts, old.body, old.chars, old.marks); END",
                    "CREATE TRIGGER search_document_updated AFTER UPDATE OF rank, name, parts, body, chars, marks ON search_document BEGIN INSERT INTO search_index(search_index, rowid, name, parts, body, chars, marks) VALUES ('delete', old.rank, old.name, old.parts, old.body, old.chars, old.marks); INSERT INTO search_index(rowid, name, parts, body, chars, marks) VALUES (new.rank, new.name, new.parts, new.body, new.chars, new.marks); END",
                ],
                "postgresql": [
                    "ALTER TABLE search_document ADD COLUMN lexemes tsvector GENERATED ALWAYS AS (array_to_tsvector(string_to_array('n' || replace(name, ' ', ' n'), ' ') || string_to_array('p' || replace(parts, ' ', ' p'), ' ') || string_to_array('b' || replace(body, ' ', ' b'), ' ') || string_to_array('c' || replace(chars, ' ', ' c'), ' ') || string_to_array('m' || replace(marks, ' ', ' m'), ' ') || case when rank < 2134706223373615104 then 'z00' when rank < 2220274616293654528 then 'z01' when rank < 2305702271725338624 then 'z02' when rank < 2305843009213693952 then 'z03' when rank < 4440549232587309056 then 'z10' when rank < 4526117625507348480 then 'z11' when rank < 4611545280939032576 then 'z12' when rank < 4611686018427387904 then 'z13' when rank < 6746392241801003008 then 'z20' when rank < 6831960634721042432 then 'z21' when rank < 6917388290152726528 then 'z22' when rank < 6917529027641081856 then 'z23' end)) STORED",
                    "ALTER TABLE search_document SET (toast_tuple_target = 128)",
                    "CREATE INDEX search_document_lexemes ON search_document USING gin (lexemes) WITH (fastupdate = off)",
                ],
            }
        },
    )
    op.create_table(
        "search_upkeep",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_search_upkeep")),
    )
    op.create_table(
        "serving_limit",
        sa.Column("subject", sa.String(length=8), nullable=False),
        sa.Column("subject_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("requests_minute", sa.BigInteger(), nullable=False),
        sa.Column("requests_day", sa.BigInteger(), nullable=False),
        sa.Column("tokens_minute", sa.BigInteger(), nullable=False),
        sa.Column("tokens_day", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.String(length=96), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("subject in ('token', 'account', 'owner')", name=op.f("ck_serving_limit_known_subject")),
        sa.PrimaryKeyConstraint("subject", "subject_id", name=op.f("pk_serving_limit")),
    )
    op.create_table(
        "sign_in_failure",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_failure")),
    )
    op.create_index(op.f("ix_sign_in_failure_expires_at"), "sign_in_failure", ["expires_at"], unique=False)
    op.create_table(
        "site_identity",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=True),
        sa.CheckConstraint("one = 1", name=op.f("ck_site_identity_one_site")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_site_identity")),
    )
    op.create_table(
        "site_setting",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_site_setting")),
    )
    op.create_table(
        "spent_challenge",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_spent_challenge")),
    )
    op.create_index(op.f("ix_spent_challenge_expires_at"), "spent_challenge", ["expires_at"], unique=False)
    op.create_table(
        "storage_day",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("logical_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_repositories", sa.Integer(), nullable=False),
        sa.Column("totals", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_storage_day")),
    )
    op.create_table(
        "tag_total",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=False),
        sa.Column("facet", sa.String(length=32), nullable=False),
        sa.Column("n_public", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "tag", name=op.f("pk_tag_total")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tag_total_most", "tag_total", ["kind", "facet", "n_public"], unique=False)
    op.create_table(
        "upkeep_problem",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=2048), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("mend", sa.Text(), nullable=False),
        sa.Column("object_key", sa.String(length=1024), nullable=True),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upkeep_problem")),
    )
    op.create_index("uq_upkeep_problem", "upkeep_problem", ["code", "place"], unique=True)
    op.create_table(
        "upkeep_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("is_good", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upkeep_run")),
    )
    op.create_index("ix_upkeep_run_kind", "upkeep_run", ["kind", "is_good", "id"], unique=False)
    op.create_table(
        "verdict_batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("n_verdicts", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdict_batch")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "witnessed_log",
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("cosigned_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_witnessed_log")),
    )
    op.create_table(
        "access_request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("rejection_reason", sa.Text(), nullable=True),
        sa.Column("by_grant", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("handled_at", sa.BigInteger(), nullable=True),
        sa.Column("handled_by", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "status in ('pending', 'accepted', 'rejected')", name=op.f("ck_access_request_known_status")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_access_request_account_id")),
        sa.ForeignKeyConstraint(["handled_by"], ["account.id"], name=op.f("fk_access_request_handled_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_request")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_access_request_repo_account", "access_request", ["repo_id", "account_id"], unique=True)
    op.create_table(
        "account_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("is_alert", sa.Boolean(), nullable=False),
        sa.Column("n", sa.Integer(), server_default="1", nullable=False),
        sa.Column("address", sa.String(length=64), server_default="", nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("place", sa.String(length=32), server_default="", nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_account_event_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_account_event_account", "account_event", ["account_id", "id"], unique=False)
    op.create_index("ix_account_event_created", "account_event", ["created_at"], unique=False)
    op.create_index("ix_account_event_place", "account_event", ["account_id", "place"], unique=False)
    op.create_table(
        "account_usage",
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("public_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("private_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pull_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pending_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attachment_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_repositories", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_private_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_repositories", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_account_usage_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_usage")),
    )
    op.create_index("ix_account_usage_used", "account_usage", ["used_bytes", "account_id"], unique=False)
    op.create_table(
        "attachment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "media_type in ('image/png', 'image/jpeg', 'image/gif', 'image/webp')",
            name=op.f("ck_attachment_known_media_type"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_attachment_account_id")),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_attachment_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachment")),
    )
    op.create_index("ix_attachment_account", "attachment", ["account_id"], unique=False)
    op.create_index("ix_attachment_created", "attachment", ["created_at"], unique=False)
    op.create_index("ix_attachment_sha256", "attachment", ["sha256"], unique=False)
    op.create_table(
        "collection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=24), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("title_key", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("theme", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["account.id"], name=op.f("fk_collection_created_by")),
        sa.ForeignKeyConstraint(["owner_id"], ["account.id"], name=op.f("fk_collection_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection")),
        sa.UniqueConstraint("public_id", name=op.f("uq_collection_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_collection_updated", "collection", ["updated_at"], unique=False)
    op.create_index("uq_collection_owner_title", "collection", ["owner_id", "title_key"], unique=True)
    op.create_table(
        "device_code",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_code", sa.String(length=8), nullable=False),
        sa.Column("client", sa.String(length=100), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("approved", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_device_code_account_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_device_code")),
        sa.UniqueConstraint("user_code", name=op.f("uq_device_code_user_code")),
    )
    op.create_index(op.f("ix_device_code_expires_at"), "device_code", ["expires_at"], unique=False)
    op.create_index(op.f("ix_device_code_network"), "device_code", ["network"], unique=False)
    op.create_table(
        "entry_secret",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_entry_secret_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_entry_secret")),
    )
    op.create_table(
        "file_verdict",
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("rules", sa.String(length=64), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("second", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("judged_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status in ('safe', 'suspicious', 'unsafe', 'queued')", name=op.f("ck_file_verdict_known_status")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["verdict_batch.id"], name=op.f("fk_file_verdict_batch_id")),
        sa.PrimaryKeyConstraint("content", "role", name=op.f("pk_file_verdict")),
    )
    op.create_index("ix_file_verdict_batch", "file_verdict", ["batch_id"], unique=False)
    op.create_index("ix_file_verdict_rules", "file_verdict", ["rules"], unique=False)
    op.create_index(
        "ix_file_verdict_unrecorded",
        "file_verdict",
        ["judged_at"],
        unique=False,
        sqlite_where=sa.text("batch_id IS NULL"),
        postgresql_where=sa.text("batch_id IS NULL"),
    )
    op.create_table(
        "follow",
        sa.Column("followed_id", sa.Integer(), nullable=False),
        sa.Column("follower_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["followed_id"], ["account.id"], name=op.f("fk_follow_followed_id")),
        sa.ForeignKeyConstraint(["follower_id"], ["account.id"], name=op.f("fk_follow_follower_id")),
        sa.PrimaryKeyConstraint("followed_id", "follower_id", name=op.f("pk_follow")),
    )
    op.create_index("ix_follow_follower", "follow", ["follower_id", "created_at"], unique=False)
    op.create_table(
        "identity",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("linked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_identity_account_id")),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identity")),
    )
    op.create_index(op.f("ix_identity_account_id"), "identity", ["account_id"], unique=False)
    op.create_table(
        "leaf",
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_leaf_entry_id")),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_leaf")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_leaf_entry_id")),
    )
    op.create_table(
        "membership",
        sa.Column("org_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_membership_account_id")),
        sa.ForeignKeyConstraint(["org_id"], ["account.id"], name=op.f("fk_membership_org_id")),
        sa.PrimaryKeyConstraint("org_id", "account_id", name=op.f("pk_membership")),
    )
    op.create_index("ix_membership_account", "membership", ["account_id"], unique=False)
    op.create_table(
        "one_time_link",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("org_id", sa.Integer(), nullable=True),
        sa.Column("role", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "purpose in ('first_admin', 'site', 'org', 'reset')", name=op.f("ck_one_time_link_known_purpose")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_one_time_link_account_id")),
        sa.ForeignKeyConstraint(["created_by"], ["account.id"], name=op.f("fk_one_time_link_created_by")),
        sa.ForeignKeyConstraint(["org_id"], ["account.id"], name=op.f("fk_one_time_link_org_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_one_time_link")),
    )
    op.create_table(
        "open_upload",
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("upload_id", sa.String(length=1024), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("payer_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_open_upload_account_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["account.id"], name=op.f("fk_open_upload_payer_id")),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_open_upload")),
    )
    op.create_index("ix_open_upload_account", "open_upload", ["account_id", "sha256"], unique=False)
    op.create_index("ix_open_upload_created", "open_upload", ["created_at"], unique=False)
    op.create_index("ix_open_upload_payer", "open_upload", ["payer_id"], unique=False)
    op.create_table(
        "password",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_password_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_password")),
    )
    op.create_table(
        "pending_entry",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_pending_entry_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_pending_entry")),
    )
    op.create_table(
        "recovery_code",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_recovery_code_account_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_recovery_code")),
    )
    op.create_index(op.f("ix_recovery_code_account_id"), "recovery_code", ["account_id"], unique=False)
    op.create_table(
        "repository",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.String(length=96), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("sdk", sa.String(length=16), nullable=True),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("gated", sa.String(length=8), server_default="", nullable=False),
        sa.Column("is_disabled", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("default_branch", sa.Text(), server_default="main", nullable=False),
        sa.Column("head_commit", sa.String(length=40), nullable=True),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("prune_epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_likes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_downloads", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trending_score", sa.Float(), server_default="0", nullable=False),
        sa.CheckConstraint("gated in ('', 'auto', 'manual')", name=op.f("ck_repository_known_gate")),
        sa.CheckConstraint("kind in ('model', 'dataset', 'space')", name=op.f("ck_repository_known_kind")),
        sa.ForeignKeyConstraint(["created_by"], ["account.id"], name=op.f("fk_repository_created_by")),
        sa.ForeignKeyConstraint(["owner_id"], ["account.id"], name=op.f("fk_repository_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repository")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_repository_by_created",
        "repository",
        ["kind", "created_at", "id", "is_private", "owner_id", "deleted_at"],
        unique=False,
    )
    op.create_index(
        "ix_repository_by_downloads",
        "repository",
        ["kind", "n_downloads", "id", "is_private", "owner_id", "deleted_at"],
        unique=False,
    )
    op.create_index(
        "ix_repository_by_likes",
        "repository",
        ["kind", "n_likes", "id", "is_private", "owner_id", "deleted_at"],
        unique=False,
    )
    op.create_index(
        "ix_repository_by_modified",
        "repository",
        ["kind", "updated_at", "id", "is_private", "owner_id", "deleted_at"],
        unique=False,
    )
    op.create_index(
        "ix_repository_by_trending",
        "repository",
        ["kind", "trending_score", "id", "is_private", "owner_id", "deleted_at"],
        unique=False,
    )
    op.create_index("ix_repository_deleted", "repository", ["deleted_at"], unique=False)
    op.create_index(
        "ix_repository_owner",
        "repository",
        ["owner_id", "kind", "updated_at", "id", "is_private", "deleted_at"],
        unique=False,
    )
    op.create_table(
        "run_quota",
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cpus", sa.Float(), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("gpus", sa.Integer(), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_run_quota_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_run_quota")),
    )
    op.create_table(
        "second_factor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("credential_id", sa.LargeBinary(), nullable=True),
        sa.Column("rp_id", sa.String(length=253), nullable=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("sign_count", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'totp' and sealed is not null and last_step is not null) or (kind = 'passkey' and credential_id is not null and rp_id is not null and public_key is not null)",
            name=op.f("ck_second_factor_whole"),
        ),
        sa.CheckConstraint("kind in ('totp', 'passkey')", name=op.f("ck_second_factor_known_kind")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_second_factor_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factor")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_second_factor_credential_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_second_factor_account_id"), "second_factor", ["account_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.String(length=64), server_default="", nullable=False),
        sa.Column("how", sa.String(length=32), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("proved_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_session_account_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_account_id"), "session", ["account_id"], unique=False)
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("role in ('read', 'write', 'admin', 'fine', 'infer')", name=op.f("ck_token_known_role")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_token_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_token_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_token_account_id"), "token", ["account_id"], unique=False)
    op.create_table(
        "tombstone_entry",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_tombstone_entry_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_tombstone_entry")),
    )
    op.create_table(
        "webhook",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=24), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("grants", sa.Text(), nullable=True),
        sa.Column("is_disabled", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("n_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_webhook_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        sa.UniqueConstraint("public_id", name=op.f("uq_webhook_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_webhook_account_id"), "webhook", ["account_id"], unique=False)
    op.create_table(
        "xet_file",
        sa.Column("xet_hash", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_terms", sa.Integer(), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_xet_file_sha256")),
        sa.PrimaryKeyConstraint("xet_hash", name=op.f("pk_xet_file")),
    )
    op.create_index(op.f("ix_xet_file_sha256"), "xet_file", ["sha256"], unique=False)
    op.create_table(
        "xorb",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("n_chunks", sa.Integer(), nullable=False),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_promised_at", sa.BigInteger(), nullable=False),
        sa.Column("condemned_at", sa.BigInteger(), nullable=True),
        sa.Column("charged_to", sa.Integer(), nullable=True),
        sa.CheckConstraint("state in ('live', 'condemned', 'deleting', 'gone')", name=op.f("ck_xorb_known_state")),
        sa.ForeignKeyConstraint(["charged_to"], ["account.id"], name=op.f("fk_xorb_charged_to")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_xorb")),
    )
    op.create_index(
        "ix_xorb_charged",
        "xorb",
        ["charged_to"],
        unique=False,
        sqlite_where=sa.text("charged_to IS NOT NULL"),
        postgresql_where=sa.text("charged_to IS NOT NULL"),
    )
    op.create_index("ix_xorb_promised", "xorb", ["state", "last_promised_at"], unique=False)
    op.create_table(
        "card",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=True),
        sa.Column("readme_oid", sa.String(length=40), nullable=True),
        sa.Column("library", sa.String(length=64), nullable=True),
        sa.Column("pipeline_tag", sa.String(length=64), nullable=True),
        sa.Column("n_parameters", sa.BigInteger(), nullable=True),
        sa.Column("n_files", sa.Integer(), server_default="0", nullable=False),
        sa.Column("used_storage_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("indexed_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_card_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", name=op.f("pk_card")),
    )
    op.create_index("ix_card_parameters", "card", ["kind", "n_parameters", "repo_id"], unique=False)
    op.create_table(
        "collection_item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=24), nullable=False),
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=True),
        sa.Column("inner_id", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(repo_id is null) <> (inner_id is null)", name=op.f("ck_collection_item_one_thing")),
        sa.ForeignKeyConstraint(["collection_id"], ["collection.id"], name=op.f("fk_collection_item_collection_id")),
        sa.ForeignKeyConstraint(["inner_id"], ["collection.id"], name=op.f("fk_collection_item_inner_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_collection_item_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection_item")),
        sa.UniqueConstraint("public_id", name=op.f("uq_collection_item_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_collection_item_inner_id"), "collection_item", ["inner_id"], unique=False)
    op.create_index(op.f("ix_collection_item_repo_id"), "collection_item", ["repo_id"], unique=False)
    op.create_index("uq_collection_item_inner", "collection_item", ["collection_id", "inner_id"], unique=True)
    op.create_index("uq_collection_item_repo", "collection_item", ["collection_id", "repo_id"], unique=True)
    op.create_table(
        "conversion",
        sa.Column("repo_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("pull", sa.Integer(), nullable=True),
        sa.Column("asked_by", sa.Integer(), nullable=True),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('queued', 'done', 'refused')", name=op.f("ck_conversion_known_state")),
        sa.ForeignKeyConstraint(["asked_by"], ["account.id"], name=op.f("fk_conversion_asked_by")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_conversion_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "path", name=op.f("pk_conversion")),
    )
    op.create_table(
        "default_file",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("pointer_size", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_default_file_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "path", name=op.f("pk_default_file")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "discussion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("num", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=24), nullable=False),
        sa.Column("is_pull", sa.Boolean(), nullable=False),
        sa.Column("title", sa.String(length=400), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.Column("n_comments", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_events", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("base_ref", sa.Text(), nullable=True),
        sa.Column("start_commit", sa.String(length=40), nullable=True),
        sa.Column("merged_base", sa.String(length=40), nullable=True),
        sa.Column("merge_commit", sa.String(length=40), nullable=True),
        sa.CheckConstraint("is_pull or status in ('open', 'closed')", name=op.f("ck_discussion_status_fits")),
        sa.CheckConstraint("status in ('draft', 'open', 'closed', 'merged')", name=op.f("ck_discussion_known_status")),
        sa.ForeignKeyConstraint(["author_id"], ["account.id"], name=op.f("fk_discussion_author_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_discussion_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discussion")),
        sa.UniqueConstraint("public_id", name=op.f("uq_discussion_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_discussion_author_id"), "discussion", ["author_id"], unique=False)
    op.create_index("ix_discussion_repo_status", "discussion", ["repo_id", "status", "num"], unique=False)
    op.create_index("uq_discussion_repo_num", "discussion", ["repo_id", "num"], unique=True)
    op.create_table(
        "download_day",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_download_day_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "day", name=op.f("pk_download_day")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_download_day_day", "download_day", ["day"], unique=False)
    op.create_table(
        "download_total",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_download_total_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", name=op.f("pk_download_total")),
    )
    op.create_table(
        "endpoint",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("name_key", sa.String(length=96), nullable=True),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=False),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("engine", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("access", sa.String(length=16), nullable=False),
        sa.Column("context_tokens", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("idle_s", sa.Integer(), nullable=False),
        sa.Column("keeps_contents", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("wanted", sa.String(length=8), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("access in ('members', 'everyone')", name=op.f("ck_endpoint_known_access")),
        sa.CheckConstraint("engine in ('llama.cpp', 'transformers')", name=op.f("ck_endpoint_known_engine")),
        sa.CheckConstraint("task in ('generate', 'embed')", name=op.f("ck_endpoint_known_task")),
        sa.CheckConstraint("wanted in ('running', 'stopped')", name=op.f("ck_endpoint_known_wish")),
        sa.ForeignKeyConstraint(["created_by"], ["account.id"], name=op.f("fk_endpoint_created_by")),
        sa.ForeignKeyConstraint(["owner_id"], ["account.id"], name=op.f("fk_endpoint_owner_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_endpoint_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint")),
        sa.UniqueConstraint("owner_id", "name_key", name="one_endpoint_a_name"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_endpoint_repo_id"), "endpoint", ["repo_id"], unique=False)
    op.create_table(
        "file_right",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("pull", sa.Integer(), nullable=False),
        sa.Column("filename", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("uploaded_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_file_right_repo_id")),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_file_right_sha256")),
        sa.ForeignKeyConstraint(["uploaded_by"], ["account.id"], name=op.f("fk_file_right_uploaded_by")),
        sa.PrimaryKeyConstraint("repo_id", "sha256", "pull", name=op.f("pk_file_right")),
    )
    op.create_index("ix_file_right_sha256", "file_right", ["sha256"], unique=False)
    op.create_table(
        "found_secret",
        sa.Column("repo_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("found_by", sa.Integer(), nullable=True),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("allowed_by", sa.Integer(), nullable=True),
        sa.Column("allowed_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["allowed_by"], ["account.id"], name=op.f("fk_found_secret_allowed_by")),
        sa.ForeignKeyConstraint(["found_by"], ["account.id"], name=op.f("fk_found_secret_found_by")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_found_secret_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "mark", name=op.f("pk_found_secret")),
    )
    op.create_index("ix_found_secret_at", "found_secret", ["repo_id", "found_at"], unique=False)
    op.create_table(
        "gate_due",
        sa.Column("repo_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_gate_due_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", name=op.f("pk_gate_due")),
    )
    op.create_table(
        "gate_release",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("released_by", sa.Integer(), nullable=True),
        sa.Column("released_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["released_by"], ["account.id"], name=op.f("fk_gate_release_released_by")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_gate_release_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "content", "role", name=op.f("pk_gate_release")),
    )
    op.create_table(
        "held_file",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("pull", sa.Integer(), nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_held_file_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "content", "role", name=op.f("pk_held_file")),
    )
    op.create_index("ix_held_file_content", "held_file", ["content", "role"], unique=False)
    op.create_index("ix_held_file_noted", "held_file", ["noted_at"], unique=False)
    op.create_table(
        "last_changed_node",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("whole", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_last_changed_node_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "number", name=op.f("pk_last_changed_node")),
    )
    op.create_table(
        "last_changed_root",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("commit_oid", sa.String(length=40), nullable=False),
        sa.Column("node", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_last_changed_root_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "commit_oid", name=op.f("pk_last_changed_root")),
    )
    op.create_table(
        "lineage_link",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("relation", sa.String(length=16), nullable=False),
        sa.Column("target_kind", sa.String(length=16), nullable=False),
        sa.Column("target_key", sa.String(length=200), nullable=False),
        sa.Column("target_name", sa.String(length=200), nullable=False),
        sa.Column("pinned", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_lineage_link_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "place", name=op.f("pk_lineage_link")),
    )
    op.create_index("link_by_target", "lineage_link", ["target_kind", "target_key"], unique=False)
    op.create_table(
        "openness_evidence",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("criterion", sa.String(length=40), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("value", sa.String(length=8), nullable=False),
        sa.Column("basis", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("licence", sa.String(length=64), nullable=False),
        sa.Column("is_open_licence", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_openness_evidence_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "criterion", name=op.f("pk_openness_evidence")),
    )
    op.create_table(
        "openness_grade",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=True),
        sa.Column("rules", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.Column("ladder", sa.Integer(), nullable=True),
        sa.Column("licences", sa.Text(), nullable=False),
        sa.Column("declared", sa.String(length=200), nullable=False),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.Column("shows", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("graded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_openness_grade_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", name=op.f("pk_openness_grade")),
    )
    op.create_table(
        "openness_override",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("criterion", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("machine_value", sa.String(length=8), nullable=False),
        sa.Column("made_by", sa.String(length=96), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_by", sa.String(length=96), nullable=True),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_openness_override_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_openness_override")),
        sqlite_autoincrement=True,
    )
    op.create_index("override_of_repository", "openness_override", ["repo_id", "criterion"], unique=False)
    op.create_table(
        "pack",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_objects", sa.Integer(), nullable=False),
        sa.Column("is_inline", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_pack_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pack")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pack_retired", "pack", ["retired_at"], unique=False)
    op.create_index("uq_pack_repo_name", "pack", ["repo_id", "name"], unique=True)
    op.create_table(
        "pull_usage",
        sa.Column("repo_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("num", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pack_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_pull_usage_account_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_pull_usage_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "num", name=op.f("pk_pull_usage")),
    )
    op.create_index("ix_pull_usage_account", "pull_usage", ["account_id"], unique=False)
    op.create_table(
        "ref",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("oid", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_ref_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "name", name=op.f("pk_ref")),
    )
    op.create_table(
        "release_signature",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("n_files", sa.Integer(), nullable=False),
        sa.Column("added_by", sa.String(length=96), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_release_signature_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_signature")),
        sa.UniqueConstraint("repo_id", "commit_id", "key_id", name="one_signature_a_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "repo_like",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_repo_like_account_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_repo_like_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", "account_id", name=op.f("pk_repo_like")),
    )
    op.create_index("ix_repo_like_account", "repo_like", ["account_id", "created_at"], unique=False)
    op.create_index("ix_repo_like_created", "repo_like", ["created_at", "repo_id"], unique=False)
    op.create_table(
        "repository_name",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name_key", sa.String(length=200), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.CheckConstraint("state in ('current', 'moved', 'deleted')", name=op.f("ck_repository_name_known_state")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_repository_name_repo_id")),
        sa.PrimaryKeyConstraint("kind", "name_key", name=op.f("pk_repository_name")),
    )
    op.create_index(op.f("ix_repository_name_repo_id"), "repository_name", ["repo_id"], unique=False)
    op.create_table(
        "repository_tag",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_repository_tag_repo_id")),
        sa.PrimaryKeyConstraint("kind", "tag", "repo_id", name=op.f("pk_repository_tag")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_repository_tag_repo", "repository_tag", ["repo_id"], unique=False)
    op.create_table(
        "repository_usage",
        sa.Column("repo_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pack_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pull_pack_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["account.id"], name=op.f("fk_repository_usage_owner_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_repository_usage_repo_id")),
        sa.PrimaryKeyConstraint("repo_id", name=op.f("pk_repository_usage")),
    )
    op.create_index(
        "ix_repository_usage_owner", "repository_usage", ["owner_id", "used_bytes", "repo_id"], unique=False
    )
    op.create_index("ix_repository_usage_used", "repository_usage", ["used_bytes", "repo_id"], unique=False)
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("recipe_text", sa.Text(), nullable=False),
        sa.Column("recipe_digest", sa.String(length=64), nullable=False),
        sa.Column("recipe_repo_id", sa.Integer(), nullable=True),
        sa.Column("recipe_commit", sa.String(length=40), nullable=True),
        sa.Column("recipe_path", sa.Text(), nullable=True),
        sa.Column("resolved", sa.Text(), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("chip", sa.String(length=64), nullable=True),
        sa.Column("time_limit_s", sa.Integer(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("n_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("reason_code", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("energy", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("n_points", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_log_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cancel_requested_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state in ('queued', 'starting', 'running', 'succeeded', 'failed', 'cancelled', 'lost')",
            name=op.f("ck_run_known_state"),
        ),
        sa.ForeignKeyConstraint(["created_by"], ["account.id"], name=op.f("fk_run_created_by")),
        sa.ForeignKeyConstraint(["owner_id"], ["account.id"], name=op.f("fk_run_owner_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["run.id"], name=op.f("fk_run_parent_id")),
        sa.ForeignKeyConstraint(["recipe_repo_id"], ["repository.id"], name=op.f("fk_run_recipe_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_kind", "run", ["kind", "id"], unique=False)
    op.create_index("ix_run_owner", "run", ["owner_id", "id"], unique=False)
    op.create_index("ix_run_state", "run", ["state", "id"], unique=False)
    op.create_table(
        "search_entry",
        sa.Column("rank", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("n_parameters", sa.BigInteger(), nullable=True),
        sa.Column("facets", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_search_entry_repo_id")),
        sa.PrimaryKeyConstraint("rank", name=op.f("pk_search_entry")),
        sa.UniqueConstraint("repo_id", name=op.f("uq_search_entry_repo_id")),
    )
    op.create_table(
        "upload_claim",
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("charged_to", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_upload_claim_account_id")),
        sa.ForeignKeyConstraint(["charged_to"], ["account.id"], name=op.f("fk_upload_claim_charged_to")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_upload_claim_repo_id")),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_upload_claim_sha256")),
        sa.PrimaryKeyConstraint("repo_id", "sha256", "account_id", name=op.f("pk_upload_claim")),
    )
    op.create_index("ix_upload_claim_charged", "upload_claim", ["charged_to"], unique=False)
    op.create_index("ix_upload_claim_created", "upload_claim", ["created_at"], unique=False)
    op.create_table(
        "upload_session",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("charged_to", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_upload_session_account_id")),
        sa.ForeignKeyConstraint(["charged_to"], ["account.id"], name=op.f("fk_upload_session_charged_to")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_upload_session_repo_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_session")),
    )
    op.create_index("ix_upload_session_charged", "upload_session", ["charged_to"], unique=False)
    op.create_index("ix_upload_session_created", "upload_session", ["created_at"], unique=False)
    op.create_index("ix_upload_session_owner", "upload_session", ["account_id", "repo_id"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=24), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("n_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("attempted_at", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.CheckConstraint("state in ('waiting', 'done', 'failed')", name=op.f("ck_webhook_delivery_known_state")),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_delivery_webhook_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("public_id", name=op.f("uq_webhook_delivery_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhook_delivery_webhook", "webhook_delivery", ["webhook_id", "id"], unique=False)
    op.create_table(
        "webhook_watch",
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("repo_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("(account_id is null) <> (repo_id is null)", name=op.f("ck_webhook_watch_one_thing")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_webhook_watch_account_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_webhook_watch_repo_id")),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_watch_webhook_id")),
        sa.PrimaryKeyConstraint("webhook_id", "position", name=op.f("pk_webhook_watch")),
    )
    op.create_index(op.f("ix_webhook_watch_account_id"), "webhook_watch", ["account_id"], unique=False)
    op.create_index(op.f("ix_webhook_watch_repo_id"), "webhook_watch", ["repo_id"], unique=False)
    op.create_table(
        "xet_chunk",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("xet_hash", sa.String(length=64), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["xet_hash"], ["xet_file.xet_hash"], name=op.f("fk_xet_chunk_xet_hash")),
        sa.PrimaryKeyConstraint("hash", "xet_hash", name=op.f("pk_xet_chunk")),
    )
    op.create_index("ix_xet_chunk_file", "xet_chunk", ["xet_hash"], unique=False)
    op.create_table(
        "xet_file_xorb",
        sa.Column("xet_hash", sa.String(length=64), nullable=False),
        sa.Column("xorb", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["xet_hash"], ["xet_file.xet_hash"], name=op.f("fk_xet_file_xorb_xet_hash")),
        sa.ForeignKeyConstraint(["xorb"], ["xorb.hash"], name=op.f("fk_xet_file_xorb_xorb")),
        sa.PrimaryKeyConstraint("xet_hash", "xorb", name=op.f("pk_xet_file_xorb")),
    )
    op.create_index("ix_xet_file_xorb_xorb", "xet_file_xorb", ["xorb"], unique=False)
    op.create_table(
        "xorb_framing",
        sa.Column("xorb", sa.String(length=64), nullable=False),
        sa.Column("ends", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["xorb"], ["xorb.hash"], name=op.f("fk_xorb_framing_xorb")),
        sa.PrimaryKeyConstraint("xorb", name=op.f("pk_xorb_framing")),
    )
    op.create_table(
        "xorb_holder",
        sa.Column("xorb", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_xorb_holder_account_id")),
        sa.ForeignKeyConstraint(["xorb"], ["xorb.hash"], name=op.f("fk_xorb_holder_xorb")),
        sa.PrimaryKeyConstraint("xorb", "account_id", "token_id", name=op.f("pk_xorb_holder")),
    )
    op.create_table(
        "discussion_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("discussion_id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=24), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("edited_at", sa.BigInteger(), nullable=True),
        sa.Column("edited_by", sa.Integer(), nullable=True),
        sa.Column("hidden_at", sa.BigInteger(), nullable=True),
        sa.Column("hidden_by", sa.Integer(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind in ('comment', 'status-change', 'title-change', 'commit')",
            name=op.f("ck_discussion_event_known_kind"),
        ),
        sa.ForeignKeyConstraint(["author_id"], ["account.id"], name=op.f("fk_discussion_event_author_id")),
        sa.ForeignKeyConstraint(["discussion_id"], ["discussion.id"], name=op.f("fk_discussion_event_discussion_id")),
        sa.ForeignKeyConstraint(["edited_by"], ["account.id"], name=op.f("fk_discussion_event_edited_by")),
        sa.ForeignKeyConstraint(["hidden_by"], ["account.id"], name=op.f("fk_discussion_event_hidden_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discussion_event")),
        sa.UniqueConstraint("public_id", name=op.f("uq_discussion_event_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_discussion_event_discussion_id"), "discussion_event", ["discussion_id"], unique=False)
    op.create_table(
        "endpoint_state",
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.Column("host", sa.String(length=160), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_started", sa.BigInteger(), nullable=True),
        sa.Column("address", sa.String(length=80), nullable=True),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("context_tokens", sa.Integer(), nullable=True),
        sa.Column("n_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("wake_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("log_tail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_endpoint_state_endpoint_id")),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_endpoint_state")),
    )
    op.create_table(
        "evaluation",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_repo_id", sa.Integer(), nullable=True),
        sa.Column("model_commit", sa.String(length=40), nullable=True),
        sa.Column("endpoint", sa.String(length=200), nullable=True),
        sa.Column("suite_repo_id", sa.Integer(), nullable=False),
        sa.Column("suite_commit", sa.String(length=40), nullable=False),
        sa.Column("results_repo_id", sa.Integer(), nullable=True),
        sa.Column("results_commit", sa.String(length=40), nullable=True),
        sa.Column("results_folder", sa.Text(), server_default="", nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("harness", sa.String(length=80), nullable=False),
        sa.Column("few_shot", sa.Integer(), nullable=True),
        sa.Column("item_limit", sa.Integer(), nullable=True),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("is_cut", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("reproduces", sa.Integer(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "model_repo_id is not null or endpoint is not null", name=op.f("ck_evaluation_a_model_or_an_endpoint")
        ),
        sa.ForeignKeyConstraint(["model_repo_id"], ["repository.id"], name=op.f("fk_evaluation_model_repo_id")),
        sa.ForeignKeyConstraint(["reproduces"], ["run.id"], name=op.f("fk_evaluation_reproduces")),
        sa.ForeignKeyConstraint(["results_repo_id"], ["repository.id"], name=op.f("fk_evaluation_results_repo_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_evaluation_run_id")),
        sa.ForeignKeyConstraint(["suite_repo_id"], ["repository.id"], name=op.f("fk_evaluation_suite_repo_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_evaluation")),
    )
    op.create_index("ix_evaluation_model", "evaluation", ["model_repo_id", "run_id"], unique=False)
    op.create_index("ix_evaluation_reproduces", "evaluation", ["reproduces"], unique=False)
    op.create_index("ix_evaluation_suite", "evaluation", ["suite_repo_id", "run_id"], unique=False)
    op.create_table(
        "gateway_exchange",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_gateway_exchange_account_id")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_gateway_exchange_endpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_exchange")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_gateway_exchange_at"), "gateway_exchange", ["at"], unique=False)
    op.create_index("ix_gateway_exchange_endpoint", "gateway_exchange", ["endpoint_id", "id"], unique=False)
    op.create_table(
        "gateway_usage",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("endpoint_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n_requests", sa.Integer(), nullable=False),
        sa.Column("n_errors", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("whole_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_gateway_usage_account_id")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_gateway_usage_endpoint_id")),
        sa.PrimaryKeyConstraint("minute", "endpoint_id", "account_id", "token_id", name=op.f("pk_gateway_usage")),
    )
    op.create_index("ix_gateway_usage_account", "gateway_usage", ["account_id", "minute"], unique=False)
    op.create_index("ix_gateway_usage_endpoint", "gateway_usage", ["endpoint_id", "minute"], unique=False)
    op.create_table(
        "pack_bytes",
        sa.Column("pack_id", sa.Integer(), nullable=False),
        sa.Column("pack", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["pack_id"], ["pack.id"], name=op.f("fk_pack_bytes_pack_id")),
        sa.PrimaryKeyConstraint("pack_id", name=op.f("pk_pack_bytes")),
    )
    op.create_table(
        "run_attempt",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("runner", sa.String(length=16), nullable=False),
        sa.Column("host_id", sa.String(length=32), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=True),
        sa.Column("remote_id", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("reason_code", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("reported_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state in ('starting', 'running', 'succeeded', 'failed', 'cancelled', 'lost')",
            name=op.f("ck_run_attempt_known_attempt_state"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_attempt_run_id")),
        sa.ForeignKeyConstraint(["token_id"], ["token.id"], name=op.f("fk_run_attempt_token_id")),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_attempt")),
    )
    op.create_index(
        "ix_run_attempt_active",
        "run_attempt",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state in ('starting', 'running')"),
        postgresql_where=sa.text("state in ('starting', 'running')"),
    )
    op.create_table(
        "run_commit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("output", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_run_commit_repo_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_commit_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_commit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_commit_repo", "run_commit", ["repo_id", "commit_id"], unique=False)
    op.create_index("ix_run_commit_run", "run_commit", ["run_id", "id"], unique=False)
    op.create_table(
        "run_input",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.Column("repo_path", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("commit_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_run_input_repo_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_input_run_id")),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_run_input")),
    )
    op.create_index("ix_run_input_repo", "run_input", ["repo_id", "run_id"], unique=False)
    op.create_table(
        "run_log",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_log_run_id")),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_log")),
    )
    op.create_table(
        "run_metric",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_metric_run_id")),
        sa.PrimaryKeyConstraint("run_id", "name", "step", name=op.f("pk_run_metric")),
    )
    op.create_table(
        "run_note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_note_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_note")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_run_note_run_id"), "run_note", ["run_id"], unique=False)
    op.create_table(
        "run_output",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=True),
        sa.Column("repo_path", sa.Text(), nullable=False),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_run_output_repo_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_output_run_id")),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_run_output")),
    )
    op.create_index("ix_run_output_repo", "run_output", ["repo_id", "run_id"], unique=False)
    op.create_table(
        "attachment_use",
        sa.Column("attachment_id", sa.String(length=32), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("repo_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["attachment_id"], ["attachment.id"], name=op.f("fk_attachment_use_attachment_id")),
        sa.ForeignKeyConstraint(["event_id"], ["discussion_event.id"], name=op.f("fk_attachment_use_event_id")),
        sa.ForeignKeyConstraint(["repo_id"], ["repository.id"], name=op.f("fk_attachment_use_repo_id")),
        sa.PrimaryKeyConstraint("attachment_id", "event_id", name=op.f("pk_attachment_use")),
    )
    op.create_index("ix_attachment_use_event", "attachment_use", ["event_id"], unique=False)
    op.create_index("ix_attachment_use_repo", "attachment_use", ["repo_id"], unique=False)
    op.create_table(
        "comment_edit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["account.id"], name=op.f("fk_comment_edit_author_id")),
        sa.ForeignKeyConstraint(["event_id"], ["discussion_event.id"], name=op.f("fk_comment_edit_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment_edit")),
    )
    op.create_index(op.f("ix_comment_edit_event_id"), "comment_edit", ["event_id"], unique=False)
    op.create_table(
        "evaluation_score",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task", sa.String(length=128), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("filter", sa.String(length=64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("is_group", sa.Boolean(), nullable=False),
        sa.Column("is_main", sa.Boolean(), nullable=False),
        sa.Column("ability", sa.String(length=100), server_default="", nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("n_items", sa.Integer(), nullable=True),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("stderr", sa.Float(), nullable=True),
        sa.Column("is_higher_better", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["evaluation.run_id"], name=op.f("fk_evaluation_score_run_id")),
        sa.PrimaryKeyConstraint("run_id", "task", "metric", "filter", name=op.f("pk_evaluation_score")),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE search_index USING fts5(name, parts, body, chars, marks, content='search_document', content_rowid='rank', tokenize='ascii')"
        )
        op.execute(
            "CREATE TRIGGER search_document_inserted AFTER INSERT ON search_document BEGIN INSERT INTO search_index(rowid, name, parts, body, chars, marks) VALUES (new.rank, new.name, new.parts, new.body, new.chars, new.marks); END"
        )
        op.execute(
            "CREATE TRIGGER search_document_deleted AFTER DELETE ON search_document BEGIN INSERT INTO search_index(search_index, rowid, name, parts, body, chars, marks) VALUES ('delete', old.rank, old.name, old.parts, old.body, old.chars, old.marks); END"
        )
        op.execute(
            "CREATE TRIGGER search_document_updated AFTER UPDATE OF rank, name, parts, body, chars, marks ON search_document BEGIN INSERT INTO search_index(search_index, rowid, name, parts, body, chars, marks) VALUES ('delete', old.rank, old.name, old.parts, old.body, old.chars, old.marks); INSERT INTO search_index(rowid, name, parts, body, chars, marks) VALUES (new.rank, new.name, new.parts, new.body, new.chars, new.marks); END"
        )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE search_document ADD COLUMN lexemes tsvector GENERATED ALWAYS AS (array_to_tsvector(string_to_array('n' || replace(name, ' ', ' n'), ' ') || string_to_array('p' || replace(parts, ' ', ' p'), ' ') || string_to_array('b' || replace(body, ' ', ' b'), ' ') || string_to_array('c' || replace(chars, ' ', ' c'), ' ') || string_to_array('m' || replace(marks, ' ', ' m'), ' ') || case when rank < 2134706223373615104 then 'z00' when rank < 2220274616293654528 then 'z01' when rank < 2305702271725338624 then 'z02' when rank < 2305843009213693952 then 'z03' when rank < 4440549232587309056 then 'z10' when rank < 4526117625507348480 then 'z11' when rank < 4611545280939032576 then 'z12' when rank < 4611686018427387904 then 'z13' when rank < 6746392241801003008 then 'z20' when rank < 6831960634721042432 then 'z21' when rank < 6917388290152726528 then 'z22' when rank < 6917529027641081856 then 'z23' end)) STORED"
        )
        op.execute("ALTER TABLE search_document SET (toast_tuple_target = 128)")
        op.execute(
            "CREATE INDEX search_document_lexemes ON search_document USING gin (lexemes) WITH (fastupdate = off)"
        )
