"""Values out of a JSON body, by type. A wrong one is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.hub.community.errors import BadField


def text(body: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A string; with a default it may be absent or null."""
    value = body.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise BadField(key, "a string")
    return value


def optional_text(body: Mapping[str, Any], key: str) -> str | None:
    return None if body.get(key) is None else text(body, key)


def optional_bool(body: Mapping[str, Any], key: str) -> bool | None:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadField(key, "true or false")
    return value


def optional_int(body: Mapping[str, Any], key: str) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) < value < 2**31:
        raise BadField(key, "a whole number")
    return value


def optional_texts(body: Mapping[str, Any], key: str) -> list[str] | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadField(key, "a list of strings")
    return value


def number(value: str | None, key: str, *, default: int, most: int) -> int:
    """A whole number out of a query, at least 0."""
    if value is None or value == "":
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise BadField(key, "a whole number")
    return min(int(value), most)
