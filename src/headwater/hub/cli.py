"""``headwater repo``: repositories, for operators and their scripts. They act as the system itself on the data folder."""

from __future__ import annotations

from typing import Any

import click

from headwater.accounts import Action
from headwater.hub import access, files, repos
from headwater.hub.content.reading import list_refs
from headwater.hub.errors import BadName
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.names import parse_repo_name
from headwater.kernel import SYSTEM, to_iso, utcnow
from headwater.web import Site
from headwater.web.terminal import Output, site_command

_kind_option = click.option(
    "--type",
    "kind",
    type=click.Choice([kind.value for kind in RepoKind]),
    default=RepoKind.MODEL.value,
    show_default=True,
    help="What kind of repository.",
)


@click.group("repo")
def repo() -> None:
    """Repositories: create, list, show, move, close, delete."""


@repo.command("create")
@click.argument("name")
@_kind_option
@click.option("--private", "is_private", is_flag=True, help="Only for those who belong to its owner.")
@click.option("--sdk", default=None, help="For spaces: static, gradio, docker or streamlit.")
@site_command
def repo_create(site: Site, out: Output, *, name: str, kind: str, is_private: bool, sdk: str | None) -> None:
    """Create the repository NAME, written namespace/name."""
    made = repos.create_repository(
        site, SYSTEM, RepoKind(kind), parse_repo_name(name), is_private=is_private, sdk=sdk, now=utcnow()
    )
    out.result(_facts(site, made), f"Created {made.path}: {site.base_url}/{made.path}")


@repo.command("list")
@click.option("--owner", default=None, help="Only this person's or organisation's.")
@click.option("--type", "kind", type=click.Choice([kind.value for kind in RepoKind]), default=None, help="Only these.")
@site_command
def repo_list(site: Site, out: Output, *, owner: str | None, kind: str | None) -> None:
    """List repositories, oldest first."""
    found: list[Repository] = []
    cursor: str | None = None
    while True:
        page = site.db.read(repos.list_all, SYSTEM, owner, cursor=cursor, limit=500)
        found += [item for item in page.items if kind is None or item.kind.value == kind]
        cursor = page.cursor
        if cursor is None:
            break
    rows = [
        (item.path, "private" if item.is_private else "public", item.gated, f"{item.updated_at:%Y-%m-%d}")
        for item in found
    ]
    out.table(("repository", "visibility", "gated", "changed"), rows, facts=[_facts(site, item) for item in found])


@repo.command("show")
@click.argument("name")
@_kind_option
@site_command
def repo_show(site: Site, out: Output, *, name: str, kind: str) -> None:
    """Show what is known of a repository."""
    found = _find(site, kind, name)
    facts = _facts(site, found) | {
        "sha": found.head_commit,
        "storage_bytes": found.size_bytes + site.db.read(files.repo_stored_bytes, found.id),
    }
    out.result(facts, "\n".join(f"{key:>14}  {value}" for key, value in facts.items()))


@repo.command("refs")
@click.argument("name")
@_kind_option
@site_command
def repo_refs(site: Site, out: Output, *, name: str, kind: str) -> None:
    """List a repository's branches, tags and pull requests."""
    found = list_refs(site, SYSTEM, RepoKind(kind), _existing(name))
    refs = {**found.branches, **found.tags, **found.pulls}
    out.table(("commit", "ref"), [(oid, ref) for ref, oid in refs.items()])


@repo.command("move")
@click.argument("name")
@click.argument("new_name")
@_kind_option
@site_command
def repo_move(site: Site, out: Output, *, name: str, new_name: str, kind: str) -> None:
    """Give a repository another name; the former one leads on to it."""
    target = parse_repo_name(new_name)
    moved = site.db.write(repos.move_repository, SYSTEM, RepoKind(kind), _existing(name), target, now=utcnow())
    out.result(_facts(site, moved), f"{name} is now {moved.path}; the former name leads on to it.")


@repo.command("disable")
@click.argument("name")
@_kind_option
@site_command
def repo_disable(site: Site, out: Output, *, name: str, kind: str) -> None:
    """Close a repository: nobody but the site's administrators reads or changes its files."""
    found = _set_disabled(site, kind, name, is_disabled=True)
    out.result(
        _facts(site, found), f"{found.path} is closed. Open it again: headwater repo enable {name} --type {kind}"
    )


@repo.command("enable")
@click.argument("name")
@_kind_option
@site_command
def repo_enable(site: Site, out: Output, *, name: str, kind: str) -> None:
    """Open a closed repository again."""
    found = _set_disabled(site, kind, name, is_disabled=False)
    out.result(_facts(site, found), f"{found.path} is open again.")


@repo.command("delete")
@click.argument("name")
@_kind_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@site_command
def repo_delete(site: Site, out: Output, *, name: str, kind: str, yes: bool) -> None:
    """Delete a repository. Its name stays with its namespace."""
    found = _find(site, kind, name)
    if not yes and not out.as_json:
        click.confirm(f"Delete {found.path} with all it holds?", abort=True)
    gone = site.db.write(repos.delete_repository, SYSTEM, found.kind, found.name, now=utcnow())
    out.result(_facts(site, gone), f"Deleted {gone.path}.")


def _set_disabled(site: Site, kind: str, name: str, *, is_disabled: bool) -> Repository:
    return site.db.write(
        repos.set_disabled, SYSTEM, RepoKind(kind), _existing(name), is_disabled=is_disabled, now=utcnow()
    )


def _find(site: Site, kind: str, name: str) -> Repository:
    return site.db.read(access.get_repository, SYSTEM, RepoKind(kind), _existing(name), Action.READ)


def _existing(text: str) -> RepoName:
    namespace, slash, name = text.partition("/")
    if not slash:
        raise BadName(text[:200], "write it as namespace/name.")
    return RepoName(namespace, name)


def _facts(site: Site, found: Repository) -> dict[str, Any]:
    return {
        "id": str(found.name),
        "type": found.kind.value,
        "url": f"{site.base_url}/{found.path}",
        "private": found.is_private,
        "gated": found.gated or False,
        "disabled": found.is_disabled,
        "default_branch": found.default_branch,
        "created_at": to_iso(found.created_at),
        "updated_at": to_iso(found.updated_at),
    }
