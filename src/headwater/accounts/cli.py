"""``headwater user``, ``headwater org`` and ``headwater token``: for operators and their scripts.

They act as the system itself on the data folder, whether the server runs or not: whoever may read the folder may do all
this. Every command takes ``--data`` and ``--json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from headwater.accounts import passwords
from headwater.accounts.errors import BadSetting, WeakPassword
from headwater.accounts.models import Account, Role, TokenInfo
from headwater.accounts.service import links, lookup, organisations, people, tokens
from headwater.kernel import SYSTEM, Grant, Page, to_iso, utcnow
from headwater.web import Site

P = ParamSpec("P")
T = TypeVar("T")

# What the entrypoint hands down as the context's object: opens the site of a data folder, making the folder when it is new.
OpenSite = Callable[[Path], AbstractContextManager[Site]]
ROLES = {role.name.lower(): role for role in Role}


def _common(command: Callable[P, T]) -> Callable[P, T]:
    """The two options that every command has."""
    command = click.option(
        "--data",
        "data_dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("data"),
        envvar="HEADWATER_DATA",
        show_default=True,
        help="The data folder of the site.",
    )(command)
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")(command)


def _open(data_dir: Path) -> AbstractContextManager[Site]:
    open_site: OpenSite = click.get_current_context().obj
    return open_site(data_dir)


def _say(as_json: bool, value: Any, text: str) -> None:  # noqa: FBT001 - the first thing every answer depends on
    click.echo(json.dumps(value, ensure_ascii=False) if as_json else text)


def _password_from_stdin() -> str:
    """All of standard input but one line end.

    Raises:
        BadSetting: there was none.
    """
    password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not password:
        raise BadSetting('Standard input holds no password. Use: printf %s "$PASSWORD" | headwater user …')
    return password


def _hashed(password: str, *, name: str) -> str:
    """The operator decides how strong it must be; they are told when strangers would be refused it."""
    try:
        passwords.check_strength(password, name=name)
    except WeakPassword as weak:
        click.echo(f"Warning: {weak.message}", err=True)
    return passwords.hash_password(password)


# ---- people


@click.group("user")
def user() -> None:
    """People: create, list, suspend, reinstate, new password, administrators."""


@user.command("create")
@click.argument("name")
@click.option("--admin", "is_admin", is_flag=True, help="Make them an administrator of the site.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--full-name", default="", help="Their name as they write it.")
@click.option("--email", default=None, help="Shown to administrators; nothing is sent to it.")
@_common
def user_create(
    name: str,
    *,
    is_admin: bool,
    password_stdin: bool,
    full_name: str,
    email: str | None,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Create a person. Without --password-stdin a one-time link is printed with which they set their password."""
    hashed = _hashed(_password_from_stdin(), name=name) if password_stdin else None
    now = utcnow()
    with _open(data_dir) as site:
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
        shown, text = _shown(account), f"Created {account.name}" + (", an administrator." if is_admin else ".")
        if hashed is None:
            shown["link"] = site.base_url + site.db.write(links.make_reset_link, SYSTEM, name, now=now)
            text += f" They set their password here, once, within {links.RESET_LIFE.days} days:\n{shown['link']}"
    _say(as_json, shown, text)


@user.command("list")
@click.option("--search", default="", help="Only names that hold this.")
@_common
def user_list(*, search: str, data_dir: Path, as_json: bool) -> None:
    """List all people."""
    with _open(data_dir) as site:
        found = _all(lambda cursor: site.db.read(people.list_people, SYSTEM, search=search, cursor=cursor, limit=500))
    _say(as_json, [_shown(account) for account in found], _table([_person_line(account) for account in found]))


@user.command("suspend")
@click.argument("name")
@_common
def user_suspend(name: str, *, data_dir: Path, as_json: bool) -> None:
    """Stop a person's sessions and tokens at once. What they made stays."""
    with _open(data_dir) as site:
        account = site.db.write(people.suspend, SYSTEM, name, now=utcnow())
    _say(
        as_json, _shown(account), f"{account.name} is suspended. Undo it with: headwater user reinstate {account.name}"
    )


@user.command("reinstate")
@click.argument("name")
@_common
def user_reinstate(name: str, *, data_dir: Path, as_json: bool) -> None:
    """End a suspension."""
    with _open(data_dir) as site:
        account = site.db.write(people.reinstate, SYSTEM, name, now=utcnow())
    _say(as_json, _shown(account), f"{account.name} may sign in again.")


@user.command("reset-password")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Set the password from standard input instead of making a link.")
@_common
def user_reset_password(name: str, *, password_stdin: bool, data_dir: Path, as_json: bool) -> None:
    """Print a one-time link with which a person sets a new password, or set it."""
    hashed = _hashed(_password_from_stdin(), name=name) if password_stdin else None
    now = utcnow()
    with _open(data_dir) as site:
        if hashed is not None:
            site.db.write(people.set_password, SYSTEM, name, password_hash=hashed, now=now)
            _say(
                as_json,
                {"name": name},
                f"{name} has a new password. All their sessions ended; their tokens still work.",
            )
            return
        link = site.base_url + site.db.write(links.make_reset_link, SYSTEM, name, now=now)
    expires_at = now + links.RESET_LIFE
    text = f"{name} sets a new password here, once, within {links.RESET_LIFE.days} days:\n{link}"
    _say(as_json, {"name": name, "link": link, "expires_at": to_iso(expires_at)}, text)


@user.command("admin")
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Make them an ordinary person again.")
@_common
def user_admin(name: str, *, revoke: bool, data_dir: Path, as_json: bool) -> None:
    """Make a person an administrator of the site, or no longer."""
    with _open(data_dir) as site:
        account = site.db.write(people.set_site_admin, SYSTEM, name, is_admin=not revoke, now=utcnow())
    _say(as_json, _shown(account), f"{account.name} is {'no longer' if revoke else 'now'} an administrator.")


# ---- organisations


@click.group("org")
def org() -> None:
    """Organisations and their members."""


@org.command("create")
@click.argument("name")
@click.option("--owner", required=True, help="The person who becomes its first administrator.")
@click.option("--full-name", default="", help="Its name as it is written.")
@_common
def org_create(name: str, *, owner: str, full_name: str, data_dir: Path, as_json: bool) -> None:
    """Create an organisation."""
    with _open(data_dir) as site:
        account = site.db.write(
            organisations.create_organisation, SYSTEM, name, owner=owner, full_name=full_name, now=utcnow()
        )
    _say(
        as_json,
        {**_shown(account), "owner": owner},
        f"Created the organisation {account.name}; {owner} administers it.",
    )


@org.command("add")
@click.argument("name")
@click.argument("person")
@click.option("--role", type=click.Choice(list(ROLES)), default="write", show_default=True)
@_common
def org_add(name: str, person: str, *, role: str, data_dir: Path, as_json: bool) -> None:
    """Make a person a member, or change their role."""
    with _open(data_dir) as site:
        site.db.write(organisations.set_role, SYSTEM, name, person, ROLES[role], now=utcnow())
    _say(as_json, {"organisation": name, "member": person, "role": role}, f"{person} has the role {role} in {name}.")


@org.command("remove")
@click.argument("name")
@click.argument("person")
@_common
def org_remove(name: str, person: str, *, data_dir: Path, as_json: bool) -> None:
    """End a membership."""
    with _open(data_dir) as site:
        site.db.write(organisations.remove_member, SYSTEM, name, person, now=utcnow())
    _say(as_json, {"organisation": name, "member": person, "role": None}, f"{person} is not a member of {name}.")


@org.command("list")
@click.argument("name", required=False)
@_common
def org_list(name: str | None, *, data_dir: Path, as_json: bool) -> None:
    """List all organisations, or the members of one."""
    with _open(data_dir) as site:
        if name is not None:
            org_name = name
            members = _all(lambda cursor: site.db.read(organisations.list_members, org_name, cursor=cursor, limit=500))
            rows = [{"name": m.account.name, "role": m.role.name.lower(), "since": to_iso(m.since)} for m in members]
            _say(as_json, rows, _table([(row["name"], row["role"], row["since"][:10]) for row in rows]))
            return
        found = _all(lambda cursor: site.db.read(people.list_organisations, SYSTEM, cursor=cursor, limit=500))
        sizes = site.db.read(organisations.count_members, [account.id for account in found])
    shown = [{**_shown(account), "members": sizes.get(account.id, 0)} for account in found]
    _say(as_json, shown, _table([(row["name"], f"{row['members']} member(s)", row["full_name"]) for row in shown]))


# ---- tokens


@click.group("token")
def token() -> None:
    """Access tokens."""


@token.command("create")
@click.option("--user", "owner", required=True, help="Whose token it is: it can never do more than they may.")
@click.option("--scope", type=click.Choice(["read", "write", "admin"]), default="read", show_default=True)
@click.option("--name", default="", help="To tell it from others.")
@click.option(
    "--on", "namespaces", multiple=True, help="Only on this person's or organisation's things; may be repeated."
)
@click.option("--expires-days", type=click.IntRange(1, 3650), default=None, help="After how many days it ends.")
@_common
def token_create(
    *,
    owner: str,
    scope: str,
    name: str,
    namespaces: tuple[str, ...],
    expires_days: int | None,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    now = utcnow()
    with _open(data_dir) as site:
        grants = [Grant(scope, account_id=site.db.read(lookup.get_account, on).id) for on in namespaces]
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
    _say(as_json, {"token": made.secret, **_shown_token(made.info)}, made.secret)


@token.command("list")
@click.option("--user", "owner", required=True)
@_common
def token_list(*, owner: str, data_dir: Path, as_json: bool) -> None:
    """List a person's tokens, without their secrets."""
    with _open(data_dir) as site:
        found = [_shown_token(info) for info in site.db.read(tokens.list_tokens, SYSTEM, owner=owner)]
    lines = [
        (f"{t['id']}", t["hint"], t["scope"], f"last used {t['last_used_at'] or 'never'}", t["name"]) for t in found
    ]
    _say(as_json, found, _table(lines))


@token.command("revoke")
@click.argument("token_id", type=int)
@_common
def token_revoke(token_id: int, *, data_dir: Path, as_json: bool) -> None:
    """End a token, named by the number that `headwater token list` shows."""
    with _open(data_dir) as site:
        site.db.write(tokens.revoke_token, SYSTEM, token_id, now=utcnow())
    _say(as_json, {"id": token_id, "revoked": True}, f"Token {token_id} is revoked.")


COMMANDS = {"user": user, "org": org, "token": token}


def _all(page_at: Callable[[str | None], Page[T]]) -> list[T]:
    found: list[T] = []
    cursor: str | None = None
    while True:
        page = page_at(cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def _shown(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "kind": account.kind.value,
        "full_name": account.full_name,
        "email": account.email,
        "admin": account.is_site_admin,
        "created_at": to_iso(account.created_at),
        "suspended_at": None if account.suspended_at is None else to_iso(account.suspended_at),
    }


def _person_line(account: Account) -> tuple[str, ...]:
    marks = ["administrator"] if account.is_site_admin else []
    marks += ["suspended"] if account.suspended_at else []
    return account.name, f"since {account.created_at:%Y-%m-%d}", ", ".join(marks), account.full_name


def _shown_token(info: TokenInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "scope": info.role,
        "hint": info.hint,
        "created_at": to_iso(info.created_at),
        "expires_at": None if info.expires_at is None else to_iso(info.expires_at),
        "last_used_at": None if info.last_used_at is None else to_iso(info.last_used_at),
    }


def _table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as they need to be."""
    if not rows:
        return "(none)"
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
