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
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_entry_repo", "entry", ["repo_id", "id"], unique=False)
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
        "schema_reach",
        sa.Column("breaks_before", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("breaks_before", name=op.f("pk_schema_reach")),
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
        "session",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
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
        sa.CheckConstraint("role in ('read', 'write', 'admin', 'fine')", name=op.f("ck_token_known_role")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_token_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_token_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_token_account_id"), "token", ["account_id"], unique=False)
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
        "pack_bytes",
        sa.Column("pack_id", sa.Integer(), nullable=False),
        sa.Column("pack", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["pack_id"], ["pack.id"], name=op.f("fk_pack_bytes_pack_id")),
        sa.PrimaryKeyConstraint("pack_id", name=op.f("pk_pack_bytes")),
    )
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
