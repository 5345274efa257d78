"""How acts that need room may be refused."""

from __future__ import annotations

from headwater.kernel import HeadwaterError, Kind


class QuotaExceeded(HeadwaterError):
    """An account would use more than it may. Nothing was changed."""

    code = "quota_exceeded"
    kind = Kind.TOO_LARGE  # not FULL: clients repeat a 507, and here nothing changes by itself

    def __init__(self, name: str, what: str, limit: int, wanted: int) -> None:
        """``what``: storage, private storage, or uploads without a commit; ``wanted`` is what it would be with this."""
        self.name, self.limit, self.wanted = name, limit, wanted
        super().__init__(
            f"{name} may use {size(limit)} of {what}, and this would make it {size(wanted)}. Nothing was changed. "
            f"Free some (Settings, Storage shows what takes how much), or ask an administrator of this site for more."
        )


class TooManyRepositories(HeadwaterError):
    code = "too_many_repositories"
    kind = Kind.NOT_ALLOWED

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(
            f"{name} may have {limit} repositories, and has them. "
            "Delete one, or ask an administrator of this site for more."
        )


class BadQuota(HeadwaterError):
    code = "bad_quota"
    kind = Kind.BAD_INPUT

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:40]!r} is no limit. Write a number such as 500 GB or 1.5 TiB, 'none' for no limit, "
            "or 'default' for the site's."
        )


def size(n_bytes: int) -> str:
    """``1.5 GB``: for messages, which have no reader's language."""
    value, unit = float(n_bytes), ""
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.4g} {unit}" if unit else f"{n_bytes} bytes"
