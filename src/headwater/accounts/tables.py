"""Tables of people, organisations, credentials and rights."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from headwater.db import JsonText, UtcDateTime, metadata

# People and organisations share one table, so that one unique index keeps one namespace. Rows are never deleted: a
# name is never given to someone else.
account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(96), nullable=False),
    Column("name_key", String(96), nullable=False, unique=True),  # case-folded: look-alikes in case are one name
    Column("full_name", Text, nullable=False, server_default=""),
    Column("details", Text, nullable=False, server_default=""),
    Column("email", Text),
    Column("is_site_admin", Boolean, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("suspended_at", UtcDateTime),
    CheckConstraint("kind in ('person', 'organisation')", name="known_kind"),
    sqlite_autoincrement=True,
)

# One row: which site this is. ``secret`` is kept here only where several hosts share it (else in the data folder).
site_identity = Table(
    "site_identity",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False),
    Column("secret", String(128)),  # in hexadecimal
    CheckConstraint("one = 1", name="one_site"),
)

password = Table(
    "password",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("hash", Text, nullable=False),  # argon2id, PHC string
    Column("changed_at", UtcDateTime, nullable=False),
)

session = Table(
    "session",
    metadata,
    Column("digest", String(64), primary_key=True),  # sha256 of the cookie's secret
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("user_agent", Text, nullable=False, server_default=""),
    Column("address", String(64), nullable=False, server_default=""),  # where it was last seen
    Column("how", String(32), nullable=False, server_default=""),  # by what the person showed who they are
    Column("created_at", UtcDateTime, nullable=False),
    Column("proved_at", UtcDateTime, nullable=False),  # when they last showed it
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# What is asked beside the password: an authenticator app (its secret sealed with a key of the site's secret, and the last
# step of time that was used, so that no code works twice) or a passkey.
second_factor = Table(
    "second_factor",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("name", String(64), nullable=False),
    Column("sealed", Text),
    Column("last_step", BigInteger),
    Column("credential_id", LargeBinary, unique=True),
    Column("rp_id", String(253)),  # the host name that the passkey is for
    Column("public_key", LargeBinary),  # as in COSE
    Column("sign_count", BigInteger),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    CheckConstraint("kind in ('totp', 'passkey')", name="known_kind"),
    CheckConstraint(
        "(kind = 'totp' and sealed is not null and last_step is not null) or "
        "(kind = 'passkey' and credential_id is not null and rp_id is not null and public_key is not null)",
        name="whole",
    ),
    sqlite_autoincrement=True,
)

recovery_code = Table(
    "recovery_code",
    metadata,
    Column("digest", String(64), primary_key=True),  # sha256 of account and code
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
)

# Challenges that a passkey has answered: each is taken once. Rows die when the challenge itself is too old.
spent_challenge = Table(
    "spent_challenge",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

# An account's own log: sign-ins, refusals (those from one network within an hour are one row), credentials made and ended.
account_event = Table(
    "account_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("is_alert", Boolean, nullable=False),
    Column("n", Integer, nullable=False, server_default="1"),
    Column("address", String(64), nullable=False, server_default=""),
    Column("user_agent", Text, nullable=False, server_default=""),
    Column("place", String(32), nullable=False, server_default=""),  # of a sign-in: digest of network and browser
    Column("facts", JsonText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime),  # of an alert: when the person said that they had seen it
    Index("ix_account_event_account", "account_id", "id"),
    Index("ix_account_event_place", "account_id", "place"),
    Index("ix_account_event_created", "created_at"),
    sqlite_autoincrement=True,
)

token = Table(
    "token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # sha256 of the whole token
    Column("hint", String(16), nullable=False),  # first and last letters, to tell one from another
    Column("role", String(8), nullable=False),
    Column("grants", JsonText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    CheckConstraint("role in ('read', 'write', 'admin', 'fine', 'infer')", name="known_role"),
    sqlite_autoincrement=True,
)

membership = Table(
    "membership",
    metadata,
    Column("org_id", ForeignKey("account.id"), primary_key=True),
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("role", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Index("ix_membership_account", "account_id"),
)

# One-time links: the first admin, an invitation to the site or to an organisation, a password reset.
one_time_link = Table(
    "one_time_link",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("account_id", ForeignKey("account.id")),  # whose password; None for invitations to strangers
    Column("org_id", ForeignKey("account.id")),
    Column("role", Integer),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_by", ForeignKey("account.id")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    CheckConstraint("purpose in ('first_admin', 'site', 'org', 'reset')", name="known_purpose"),
)

identity = Table(
    "identity",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("linked_at", UtcDateTime, nullable=False),
)

# Access to gated repositories. The repository's table lives above, so its id is a plain number here.
access_request = Table(
    "access_request",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repo_id", Integer, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("status", String(8), nullable=False),
    Column("fields", JsonText, nullable=False),
    Column("rejection_reason", Text),
    Column("by_grant", Boolean, nullable=False, server_default="0"),  # given without having been asked for
    Column("created_at", UtcDateTime, nullable=False),
    Column("handled_at", UtcDateTime),
    Column("handled_by", ForeignKey("account.id")),
    Index("uq_access_request_repo_account", "repo_id", "account_id", unique=True),
    CheckConstraint("status in ('pending', 'accepted', 'rejected')", name="known_status"),
    sqlite_autoincrement=True,
)

# Programs that wait until their person approves them on a page (RFC 8628); rows die with their codes.
device_code = Table(
    "device_code",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("user_code", String(8), nullable=False, unique=True),
    Column("client", String(100), nullable=False),
    Column("address", String(64), nullable=False),
    Column("network", String(64), nullable=False, index=True),  # what counts as one address
    Column("account_id", ForeignKey("account.id")),
    Column("approved", Boolean),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

# Failed sign-ins, counted per account, per address and per pair of both, and guessed codes; rows die with their window.
sign_in_failure = Table(
    "sign_in_failure",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("n", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

site_setting = Table(
    "site_setting",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", JsonText, nullable=False),
)
