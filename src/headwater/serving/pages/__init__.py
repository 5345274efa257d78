"""Pages of endpoints, of the playground, and of what was used."""

from __future__ import annotations

from pathlib import Path

from headwater.accounts import pages as account_pages
from headwater.hub.models import RepoKind
from headwater.hub.pages import marks
from headwater.serving.pages import endpoints, playground, usage
from headwater.web import Access, Route, shell

shell.register_pages("serving", Path(__file__).parent)
account_pages.OWN_TABS.append((usage.ADDRESS, "usage.tab"))
marks.add_section(marks.Section("serving/section.html", endpoints.load_section, frozenset({RepoKind.MODEL})))

ROUTES = [
    Route("GET", "/endpoints", endpoints.show_list, Access.READ),
    Route("GET", "/endpoints/new", endpoints.show_new, Access.SELF),
    Route("POST", "/endpoints/new", endpoints.create, Access.WRITE),
    Route("GET", "/endpoints/{ns}/{name}", endpoints.show, Access.READ),
    Route("POST", "/endpoints/{ns}/{name}", endpoints.act, Access.WRITE, acts=("start", "stop", "change", "delete")),
    Route("GET", "/playground", playground.show, Access.SELF),
    Route("GET", usage.ADDRESS, usage.show, Access.SELF),
    Route("POST", usage.ADDRESS, usage.set_limits, Access.SELF),
]
