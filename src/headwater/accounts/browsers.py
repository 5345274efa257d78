"""Where a request comes from, and what its program calls itself, in words that people know."""

from __future__ import annotations

from dataclasses import dataclass

# What user agents say, the more particular first: most claim to be Safari and Mozilla as well.
_PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("MicroMessenger", "WeChat"),
    ("QQBrowser", "QQ"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("OpenHarmony", "OpenHarmony"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Browser:
    """Where a sign-in comes from: the client's address as the server sees it, and how its program calls itself."""

    address: str
    user_agent: str = ""


def describe_browser(user_agent: str) -> str:
    """``Firefox · Linux``: enough to know one's own browsers by; empty for a program that says nothing we know."""
    program = next((name for mark, name in _PROGRAMS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return " · ".join(filter(None, (program, system))) or user_agent[:40]
