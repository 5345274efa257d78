"""A real site on a folder of its own, and people made by the services themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headwater import accounts
from headwater.assembly import build_site, prepare_data
from headwater.kernel import SYSTEM, Actor, TokenLimits
from headwater.web import Site
from tests import growth

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = growth.settings_of(tmp_path / "data")
    prepare_data(tmp_path / "data", settings)
    site = build_site(tmp_path / "data", settings, base_url="http://hub.test")
    yield site
    site.db.close()


@pytest.fixture
def person(site: Site) -> Callable[..., Actor]:
    """Makes a person; gives the actor they are in a browser."""

    def make(name: str, *, admin: bool = False, password_hash: str | None = None) -> Actor:
        made = site.db.write(
            accounts.create_person, SYSTEM, name, password_hash=password_hash, is_site_admin=admin, now=NOW
        )
        return Actor(made.id, made.name, is_site_admin=admin)

    return make


def with_token(actor: Actor, role: str, *grants: object) -> Actor:
    """The same person, come with a token."""
    return Actor(actor.account_id, actor.name, actor.is_site_admin, limits=TokenLimits(1, "t", role, tuple(grants)))  # type: ignore[arg-type]
