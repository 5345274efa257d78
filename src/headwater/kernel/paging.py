"""One page of a list and the cursor to the next."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from headwater.kernel.errors import HeadwaterError, Kind

T = TypeVar("T")


class BadCursor(HeadwaterError):
    code = "bad_cursor"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__("The cursor is not one that this list gave out. Start again from its first page.")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Items of one page; ``cursor`` is None on the last."""

    items: Sequence[T]
    cursor: str | None = None


def encode_cursor(position: Any) -> str:
    """A JSON-able position as url-safe text."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(text: str) -> Any:
    """The position that ``encode_cursor`` was given.

    Raises:
        BadCursor: ``text`` is not such a cursor.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as exc:
        raise BadCursor from exc


def decode_number(text: str) -> int:
    """As ``decode_cursor``, where the position is a row's number.

    Raises:
        BadCursor: ``text`` is not such a cursor.
    """
    position = decode_cursor(text)
    if type(position) is not int or not 0 <= position < 1 << 63:
        raise BadCursor
    return position
