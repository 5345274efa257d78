"""``headwater user``, ``headwater org`` and ``headwater token``: for operators and their scripts.

They act as the system itself on the data folder, whether the server runs or not: whoever may write to the folder may do all
this. Passwords come by standard input, never as arguments, which every user of a machine can see.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from headwater.accounts import passwords
from headwater.accounts.errors import BadSetting, WeakPassword
from headwater.accounts.models import Account, Role, TokenInfo
from headwater.accounts.scopes import RepositoryNames
from headwater.accounts.service import links, lookup, organisations, people, tokens
from headwater.kernel import SYSTEM, Grant, Page, to_iso, utcnow
from headwater.web import Site
from headwater.web.terminal import Output, site_command

T = TypeVar("T")

ROLES = {role.name.lower(): role for role in Role}
_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group("user")
def user() -> None:
    """People: create, list, suspend, reinstate, new password, lost second factor, administrators."""


@user.command("create")
@click.argument("name")
@click.option("--admin", "is_admin", is_flag=True, help="Make them an administrator of the site.")
@click.option("--full-name", default="", help="Their name as they write it.")
@click.option("--email", default=None, help="Shown to administrators; nothing is sent to it.")
@_password_stdin
@site_command
def user_create(
    site: Site, out: Output, *, name: str, is_admin: bool, full_name: str, email: str | None, password_stdin: bool
) -> None:
    """Create a person. Without --password-stdin, print a one-time link with which they set their password."""
    hashed, now = _hashed_password(out, name) if password_stdin else None, utcnow()
    account = site.db.write(
        people.create_person,
        SYSTEM,
        name,
        password_hash=hashed,
        full_name=full_name,
        email=email,
        is_site_admin=is_admin,
        now=now,
    )
    facts, text = _person(account), f"Created {account.name}{', an administrator' if is_admin else ''}."
    if hashed is None:
        facts["link"] = site.base_url + site.db.write(links.make_reset_link, SYSTEM, name, now=now)
        text += f" They set their password here, once, within {links.RESET_LIFE.days} days:\n{facts['link']}"
    out.result(facts, text)


@user.command("list")
@click.option("--search", default="", help="Only names that hold this.")
@site_command
def user_list(site: Site, out: Output, *, search: str) -> None:
    """List all people."""
    found = _all(lambda cursor: site.db.read(people.list_people, SYSTEM, search=search, cursor=cursor, limit=500))
    rows = [
        (
            account.name,
            account.full_name,
            f"{account.created_at:%Y-%m-%d}",
            "administrator" if account.is_site_admin else "",
            "suspended" if account.suspended_at else "",
        )
        for account in found
    ]
    out.table(("name", "full name", "since", "", ""), rows, facts=[_person(account) for account in found])


@user.command("suspend")
@click.argument("name")
@site_command
def user_suspend(site: Site, out: Output, *, name: str) -> None:
    """Stop a person's sessions and tokens at once. What they made stays."""
    account = site.db.write(people.suspend, SYSTEM, name, now=utcnow())
    out.result(_person(account), f"{account.name} is suspended. To undo: headwater user reinstate {account.name}")


@user.command("reinstate")
@click.argument("name")
@site_command
def user_reinstate(site: Site, out: Output, *, name: str) -> None:
    """End a suspension."""
    account = site.db.write(people.reinstate, SYSTEM, name, now=utcnow())
    out.result(_person(account), f"{account.name} may sign in again.")


@user.command("reset-password")
@click.argument("name")
@_password_stdin
@site_command
def user_reset_password(site: Site, out: Output, *, name: str, password_stdin: bool) -> None:
    """Print a one-time link with which a person sets a new password; with --password-stdin, set it."""
    now = utcnow()
    if password_stdin:
        hashed = _hashed_password(out, name)
        site.db.write(people.set_password, SYSTEM, name, password_hash=hashed, now=now)
        out.result({"name": name}, f"{name} has a new password. Their sessions ended; their tokens still work.")
        return
    link = site.base_url + site.db.write(links.make_reset_link, SYSTEM, name, now=now)
    out.result(
        {"name": name, "link": link, "expires_at": to_iso(now + links.RESET_LIFE)},
        f"{name} sets a new password here, once, within {links.RESET_LIFE.days} days:\n{link}",
    )


@user.command("reset-second-factor")
@click.argument("name")
@site_command
def user_reset_second_factor(site: Site, out: Output, *, name: str) -> None:
    """Take a person's second factors and recovery codes away, when they have lost them all. Ends their sessions."""
    n = site.db.write(people.reset_second_factors, SYSTEM, name, now=utcnow())
    out.result(
        {"name": name, "removed": n},
        f"{name} signs in with the password alone again; {n} second factor{'' if n == 1 else 's'} removed. "
        "Make sure that it was they who asked.",
    )


@user.command("admin")
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Make them an ordinary person again.")
@site_command
def user_admin(site: Site, out: Output, *, name: str, revoke: bool) -> None:
    """Make a person an administrator of the site, or no longer."""
    account = site.db.write(people.set_site_admin, SYSTEM, name, is_admin=not revoke, now=utcnow())
    out.result(_person(account), f"{account.name} is {'no longer' if revoke else 'now'} an administrator.")


@click.group("org")
def org() -> None:
    """Organisations and their members."""


@org.command("create")
@click.argument("name")
@click.option("--owner", required=True, help="The person who becomes its first administrator.")
@click.option("--full-name", default="", help="Its name as it is written.")
@site_command
def org_create(site: Site, out: Output, *, name: str, owner: str, full_name: str) -> None:
    """Create an organisation."""
    made = site.db.write(
        organisations.create_organisation, SYSTEM, name, owner=owner, full_name=full_name, now=utcnow()
    )
    facts = {"id": made.id, "name": made.name, "owner": owner}
    out.result(facts, f"Created the organisation {made.name}; {owner} administers it.")


@org.command("add")
@click.argument("name")
@click.argument("person")
@click.option("--role", type=click.Choice(list(ROLES)), default="write", show_default=True)
@site_command
def org_add(site: Site, out: Output, *, name: str, person: str, role: str) -> None:
    """Make a person a member, or change their role."""
    site.db.write(organisations.set_role, SYSTEM, name, person, ROLES[role], now=utcnow())
    out.result({"organisation": name, "member": person, "role": role}, f"{person} has the role {role} in {name}.")


@org.command("remove")
@click.argument("name")
@click.argument("person")
@site_command
def org_remove(site: Site, out: Output, *, name: str, person: str) -> None:
    """End a membership."""
    site.db.write(organisations.remove_member, SYSTEM, name, person, now=utcnow())
    out.result({"organisation": name, "member": person, "role": None}, f"{person} is not a member of {name}.")


@org.command("list")
@click.argument("name", required=False)
@site_command
def org_list(site: Site, out: Output, *, name: str | None) -> None:
    """List all organisations, or the members of one."""
    if name is not None:
        org_name = name
        members = _all(lambda cursor: site.db.read(organisations.list_members, org_name, cursor=cursor, limit=500))
        rows = [(m.account.name, m.role.name.lower(), f"{m.since:%Y-%m-%d}") for m in members]
        out.table(("name", "role", "since"), rows)
        return
    found = _all(lambda cursor: site.db.read(people.list_organisations, SYSTEM, cursor=cursor, limit=500))
    sizes = site.db.read(organisations.count_members, [account.id for account in found])
    out.table(("name", "full_name", "members"), [(a.name, a.full_name, sizes.get(a.id, 0)) for a in found])


@click.group("token")
def token() -> None:
    """Access tokens."""


@token.command("create")
@click.option("--user", "owner", required=True, help="Whose token it is: it can never do more than they may.")
@click.option("--scope", type=click.Choice(["read", "write", "admin", "infer"]), default="read", show_default=True)
@click.option("--name", default="", help="To tell it from others.")
@click.option(
    "--on",
    "things",
    multiple=True,
    help="Only for this person's or organisation's things, or this repository: [datasets/|spaces/]owner/name; repeatable.",
)
@click.option("--expires-days", type=click.IntRange(1, 3650), default=None, help="After how many days it ends.")
@site_command
def token_create(
    site: Site,
    out: Output,
    *,
    owner: str,
    scope: str,
    name: str,
    things: tuple[str, ...],
    expires_days: int | None,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    now = utcnow()
    grants = [_grant(site, scope, on) for on in things]
    made = site.db.write(
        tokens.create_token,
        SYSTEM,
        owner=owner,
        name=name or f"made at the command line on {now:%Y-%m-%d}",
        role="fine" if grants else scope,
        grants=grants,
        expires_at=None if expires_days is None else now + timedelta(days=expires_days),
        now=now,
    )
    out.result({"token": made.secret, "user": owner, **_token(made.info)}, made.secret)


def _grant(site: Site, scope: str, on: str) -> Grant:
    if "/" in on:
        return Grant(scope, repo_id=site.db.read(site.part(RepositoryNames).find, SYSTEM, on))
    return Grant(scope, account_id=site.db.read(lookup.get_account, on).id)


@token.command("list")
@click.option("--user", "owner", required=True)
@site_command
def token_list(site: Site, out: Output, *, owner: str) -> None:
    """List a person's tokens, without their secrets."""
    found = [_token(info) for info in site.db.read(tokens.list_tokens, SYSTEM, owner=owner)]
    columns = ("id", "hint", "scope", "expires_at", "last_used_at", "name")
    out.table(columns, [[info[column] for column in columns] for info in found], facts=found)


@token.command("revoke")
@click.argument("token_id", type=int)
@site_command
def token_revoke(site: Site, out: Output, *, token_id: int) -> None:
    """End a token, named by the number that `headwater token list` shows."""
    site.db.write(tokens.revoke_token, SYSTEM, token_id, now=utcnow())
    out.result({"id": token_id, "revoked": True}, f"Token {token_id} is revoked.")


def _hashed_password(out: Output, name: str) -> str:
    """The hash of all of standard input but one line end.

    The operator decides how strong a password must be; they are told when a stranger would be refused it.

    Raises:
        BadSetting: there was none.
    """
    password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not password:
        raise BadSetting('Standard input holds no password. Send one line: printf %s "$PASSWORD" | headwater user …')
    try:
        passwords.check_strength(password, name=name)
    except WeakPassword as weak:
        out.note(f"Warning: {weak.message}")
    return passwords.hash_password(password)


def _all(page_at: Callable[[str | None], Page[T]]) -> list[T]:
    found: list[T] = []
    cursor: str | None = None
    while True:
        page = page_at(cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def _person(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "full_name": account.full_name,
        "email": account.email,
        "admin": account.is_site_admin,
        "created_at": to_iso(account.created_at),
        "suspended_at": None if account.suspended_at is None else to_iso(account.suspended_at),
    }


def _token(info: TokenInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "scope": info.role,
        "hint": info.hint,
        "created_at": to_iso(info.created_at),
        "expires_at": None if info.expires_at is None else to_iso(info.expires_at),
        "last_used_at": None if info.last_used_at is None else to_iso(info.last_used_at),
    }
