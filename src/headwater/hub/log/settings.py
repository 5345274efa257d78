"""Who confirms this site's log, and whose log this site confirms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from headwater.kernel import HeadwaterError, setting
from headwater.ledger.notes import COSIGNS, SIGNS, VerifierKey, parse_key


@dataclass(frozen=True)
class Witness:
    """``url`` is the address below which it answers ``add-checkpoint``."""

    key: VerifierKey
    url: str


def parse_witness(text: str) -> Witness:
    """``key address``.

    Raises:
        ValueError: says what is wrong.
    """
    told, _, url = text.strip().partition(" ")
    try:
        key = parse_key(told)
    except HeadwaterError as exc:
        raise ValueError(exc.message) from exc
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(
            f"{text[:80]!r} names no address behind the witness' key, as in: KEY https://hub.example.edu/log/witness"
        )
    if key.kind != COSIGNS:
        raise ValueError(f"{told[:80]!r} is a log's key and not a witness'; ask for it at /log/witness/key")
    return Witness(key, url.strip().rstrip("/"))


def _check_witnesses(value: tuple[str, ...]) -> str | None:
    for text in value:
        try:
            parse_witness(text)
        except ValueError as exc:
            return str(exc)
    return None


def _check_logs(value: tuple[str, ...]) -> str | None:
    for text in value:
        try:
            key = parse_key(text)
        except HeadwaterError as exc:
            return exc.message
        if key.kind != SIGNS:
            return f"{text[:80]!r} is a witness' key and not a log's; ask for it at /log/key"
    return None


@dataclass(frozen=True)
class LogSettings:
    section: ClassVar[str] = "log"

    witnesses: tuple[str, ...] = setting(
        (),
        "Witnesses that are asked to confirm each checkpoint of the log: of each its key, a space and its address, separated by commas.",
        check=_check_witnesses,
    )
    follows: tuple[str, ...] = setting(
        (),
        "Keys of other sites' logs that this site is a witness of, separated by commas.",
        check=_check_logs,
    )

    def parsed_witnesses(self) -> list[Witness]:
        return [parse_witness(text) for text in self.witnesses]

    def followed(self) -> dict[str, list[VerifierKey]]:
        """The keys by the names of their logs."""
        found: dict[str, list[VerifierKey]] = {}
        for text in self.follows:
            key = parse_key(text)
            found.setdefault(key.name, []).append(key)
        return found
