"""``headwater quota``: what accounts use and may use, and the proof that the counters are right."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from headwater.hub.quotas import listing, recount, service
from headwater.hub.quotas.errors import size
from headwater.hub.quotas.models import Limits, Quota, SiteLimits
from headwater.kernel import SYSTEM, utcnow
from headwater.web import Site
from headwater.web.terminal import Output, site_command

_LIMIT = "A size such as 500GB or 1.5TiB, 'none' for no limit, 'default' for the site's."


@click.group("quota")
def quota() -> None:
    """Storage and repositories of each account: used, allowed, and counted anew."""


@quota.command("show")
@click.argument("name", required=False)
@click.option("--limit", "most", default=20, show_default=True, help="How many accounts, the largest first.")
@site_command
def show(site: Site, out: Output, *, name: str | None, most: int) -> None:
    """Show what NAME uses and may use, or without NAME the site's default and the largest accounts."""
    if name is not None:
        account, found = site.db.read(service.get_quota, SYSTEM, name)
        facts = {"name": account.name, **_facts(found)}
        out.result(facts, f"{account.name}: {_text(found)}")
        return
    force, configured, chosen = site.db.read(service.get_default, SYSTEM)
    page = site.db.read(listing.list_accounts, SYSTEM, limit=most)
    lines = [{"name": line.account.name, **_facts(line.quota)} for line in page.items]
    facts = {
        "default": force.to_facts(),
        "configured": configured.to_facts(),
        "chosen": chosen.to_facts(),
        "accounts": lines,
    }
    text = "\n".join(f"{line.account.name}: {_text(line.quota)}" for line in page.items)
    out.result(facts, f"default: {_limits(force.limits)}\n{text}".rstrip())


@quota.command("set")
@click.argument("name", required=False)
@click.option("--default", "is_default", is_flag=True, help="For every account without limits of its own.")
@click.option("--bytes", "max_bytes", default=None, help=_LIMIT)
@click.option("--private-bytes", "max_private", default=None, help="Of these in private repositories.")
@click.option("--repositories", "max_repositories", default=None, help="A number, 'none' or 'default'.")
@click.option(
    "--waiting-bytes", "max_waiting", default=None, help="With --default: uploads by guests without a commit."
)
@site_command
def set_(
    site: Site,
    out: Output,
    *,
    name: str | None,
    is_default: bool,
    max_bytes: str | None,
    max_private: str | None,
    max_repositories: str | None,
    max_waiting: str | None,
) -> None:
    """Limit NAME, or with --default everybody else. What is not given stays as it is."""
    if (name is None) != is_default:
        raise click.UsageError("Give either a NAME or --default.")
    typed = (max_bytes, max_private, max_repositories)
    if is_default:
        _, _, before = site.db.read(service.get_default, SYSTEM)
        waiting = before.max_waiting_bytes if max_waiting is None else service.parse_limit(max_waiting)
        site.db.write(service.set_default, SYSTEM, SiteLimits(_changed(before.limits, typed), waiting), now=utcnow())
        force = site.db.read(service.get_default, SYSTEM)[0]
        out.result({"default": force.to_facts()}, f"default: {_limits(force.limits)}")
        return
    if max_waiting is not None:
        raise click.UsageError("--waiting-bytes is for --default.")
    assert name is not None  # noqa: S101
    account, found = site.db.read(service.get_quota, SYSTEM, name)
    found = site.db.write(service.set_limits, SYSTEM, account.name, _changed(found.own, typed), now=utcnow())
    out.result({"name": account.name, **_facts(found)}, f"{account.name}: {_text(found)}")


@quota.command("check")
@click.option("--repair", "is_repair", is_flag=True, help="Put the counters right.")
@site_command
def check(site: Site, out: Output, *, is_repair: bool) -> None:
    """Add up everything anew and compare it with the counters; exit code 1 when they differ."""
    found = site.db.read(recount.find_differences)
    repaired = site.db.write(recount.repair) if is_repair and found else 0
    text = "\n".join(f"{each.of}: counted {each.counted}, found {each.found}" for each in found)
    out.result(
        {"differences": [asdict(each) for each in found], "repaired": repaired},
        text or "Every counter is what it counts." if not repaired else f"{text}\nRepaired {repaired}.",
    )
    if found and not repaired:
        click.get_current_context().exit(1)


def _changed(before: Limits, typed: tuple[str | None, str | None, str | None]) -> Limits:
    names = ("max_bytes", "max_private_bytes", "max_repositories")
    values: dict[str, Any] = before.to_facts()
    for name, text in zip(names, typed, strict=True):
        if text is not None:
            values[name] = service.parse_limit(text, is_bytes=name != "max_repositories")
    return Limits(**values)


def _facts(found: Quota) -> dict[str, Any]:
    usage = asdict(found.usage) | {"used_bytes": found.usage.used_bytes}
    return {"used": usage, "limits": found.limits.to_facts(), "own": found.own.to_facts()}


def _text(found: Quota) -> str:
    return (
        f"{size(found.usage.used_bytes)}, {found.usage.n_repositories} repositories; may have {_limits(found.limits)}"
    )


def _limits(limits: Limits) -> str:
    storage = "no limit" if limits.max_bytes is None else size(limits.max_bytes)
    private = "" if limits.max_private_bytes is None else f" ({size(limits.max_private_bytes)} private)"
    number = "any number of" if limits.max_repositories is None else str(limits.max_repositories)
    return f"{storage}{private}, {number} repositories"
