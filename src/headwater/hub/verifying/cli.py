"""``headwater verify``."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import click

from headwater.web.terminal import Output, json_option


@click.command("verify")
@click.argument("repos", nargs=-1)
@click.option("--url", required=True, envvar="HF_ENDPOINT", help="The site's address.")
@click.option("--all", "is_all", is_flag=True, help="Every public repository there is.")
@click.option(
    "--since",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="A checkpoint that somebody else has kept: it must be a part of the log.",
)
@click.option("--key", default=None, help="The log's key, from its operator; else the one that was seen first.")
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    help="The key of a witness that must have confirmed the checkpoint; may be repeated.",
)
@click.option("--quick", is_flag=True, help="Do not read large files, only ask whether they are there.")
@click.option("--token", default=None, envvar="HF_TOKEN", help="For files on request.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where what was seen is kept; one file for each site.",
)
@json_option
def verify(
    repos: tuple[str, ...],
    *,
    url: str,
    is_all: bool,
    since: Path | None,
    key: str | None,
    witnesses: tuple[str, ...],
    quick: bool,
    token: str | None,
    state: Path | None,
    as_json: bool,
) -> int:
    """Check a site from outside: its log, and that what it once showed is still there.

    Without REPOS, the log alone: that it is signed, and has grown out of what was seen the last time. With REPOS (namespace/name,
    datasets/namespace/name) or --all: also that every ref is where the log says, and that every revision the log ever
    named is there byte for byte, or has a tombstone. Exit code 1 when something does not hold.
    """
    from headwater.hub.verifying import service
    from headwater.hub.verifying.remote import Remote
    from headwater.ledger.notes import parse_key

    out = Output(as_json=as_json)
    asked = service.Asked(
        repos,
        is_all,
        None if since is None else since.read_text(),
        None if key is None else parse_key(key),
        [parse_key(text) for text in witnesses],
        reads_files=not quick,
    )
    remote = Remote(url, token)
    try:
        done = service.verify(remote, state or default_state(remote.url), asked, note=out.note)
    finally:
        remote.close()
    lines = [f"NOT RIGHT  {one.where}: {one.what}" for one in done.findings]
    lines += [
        f"gone       {repo.path}: {repo.tombstone['kind'].split('.')[1]}, {repo.tombstone['reason']}"
        for repo in done.buried
        if repo.tombstone is not None and (is_all or repo.path in repos)
    ]
    if done.findings:
        lines.append(f"{len(done.findings)} things do not hold.")
    else:
        what = (
            f"{done.n_repositories} repositories, {done.n_revisions} revisions and {done.n_files} large files; "
            if done.n_repositories
            else ""
        )
        lines.append(f"All of it holds: {what}{done.size} entries of the log.")
    facts = {
        **asdict(done),
        "holds": not done.findings,
        "buried": [{"path": repo.path, **(repo.tombstone or {})} for repo in done.buried],
    }
    out.result(facts, "\n".join(lines))
    return 1 if done.findings else 0


def default_state(url: str) -> Path:
    host = urlsplit(url).netloc.replace(":", "-") or "site"
    name = f"{host}-{hashlib.sha256(url.encode()).hexdigest()[:12]}.json"
    return Path(click.get_app_dir("headwater")) / "verify" / name
