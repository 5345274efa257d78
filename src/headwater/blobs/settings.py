"""What an operator may set about where bytes lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from headwater.kernel import setting

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


def check_place(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    prefix = parts.path.strip("/")
    if (
        parts.scheme != "s3"
        or not _BUCKET.fullmatch(parts.netloc)
        or (prefix and not _PREFIX.fullmatch(prefix))
        or parts.query
        or parts.fragment
    ):
        return f"{value!r} is not s3://bucket or s3://bucket/prefix"
    return None


def _check_endpoint(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        return f"{value!r} is not an address such as https://s3.example.org, without a path"
    return None


def _at_least_1_gib(value: int) -> str | None:
    return None if value >= 1 << 30 else f"{value} is less than 1 GiB (1073741824)"


@dataclass(frozen=True)
class BlobSettings:
    section: ClassVar[str] = ""

    blobs: str | None = setting(
        None,
        "Where large files, xorbs and packs lie: s3://bucket or s3://bucket/prefix. Without it, in the data folder.",
        check=check_place,
    )
    cache_bytes: int = setting(
        20 << 30,
        "How much of this machine's disk copies of repositories and objects may take; least recently used ones go first.",
        check=_at_least_1_gib,
    )
    plain_copy_days: int = setting(
        30,
        "In a store: for how many days the plain copy of a file that came by Xet stays without being read.",
        check=lambda value: None if 2 <= value <= 36500 else f"{value} is not between 2 and 36500",
    )


@dataclass(frozen=True)
class S3Settings:
    section: ClassVar[str] = "s3"

    endpoint: str | None = setting(
        None, "Address of the S3-compatible store, as this server reaches it. Without it, AWS.", check=_check_endpoint
    )
    public_endpoint: str | None = setting(
        None, "The same store's address as clients reach it, if that is another.", check=_check_endpoint
    )
    region: str | None = setting(None, "Region of the bucket; else AWS_REGION, else us-east-1.")
    key_id: str | None = setting(None, "Access key; else AWS_ACCESS_KEY_ID.")
    secret_key: str | None = setting(None, "Its secret; else AWS_SECRET_ACCESS_KEY. Better given in the environment.")
    direct: bool = setting(
        True,
        "Whether clients fetch and send large files straight from and to the store, by links that this server signs. "
        "Where they cannot reach it, say no: the bytes then pass through this server.",
    )
    timeout_s: float = setting(
        30.0,
        "How long one request to the store may take before it is tried again, and how long it is tried, in seconds.",
        check=lambda value: None if 0.5 <= value <= 3600 else f"{value} is not between 0.5 and 3600",
    )


@dataclass(frozen=True)
class BackupSettings:
    """Of the store that keeps backups, if that is another."""

    section: ClassVar[str] = "backup"

    endpoint: str | None = setting(
        None,
        "Address of the S3-compatible store that keeps backups (`headwater backup s3://…`). Else that of [s3].",
        check=_check_endpoint,
    )
    region: str | None = setting(None, "Region of that bucket; else that of [s3].")
    key_id: str | None = setting(None, "Access key for backups; else that of [s3].")
    secret_key: str | None = setting(None, "Its secret; else that of [s3]. Better given in the environment.")
