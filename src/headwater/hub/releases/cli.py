"""``headwater release``: sign the files of a revision on one's own machine, and check what others have signed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from headwater.web.terminal import Output, json_option

_url = click.option("--url", required=True, envvar="HF_ENDPOINT", help="The site's address.")
_token = click.option("--token", default=None, envvar="HF_TOKEN", help="What to sign in with.")
_revision = click.option("--revision", default="main", show_default=True, help="A branch, a tag, or a commit.")


@click.group("release")
def release() -> None:
    """Signed releases, in the OpenSSF model-signing format.

    REPO is namespace/name, with datasets/ or spaces/ before it for those.
    """


@release.command("sign")
@click.argument("repo")
@_url
@_token
@_revision
@click.option(
    "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="Your private key (PEM)."
)
@click.option("--password", default=None, envvar="HEADWATER_KEY_PASSWORD", help="Of the key, if it has one.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Also write the signature here."
)
@click.option("--no-upload", is_flag=True, help="Do not bring it to the site.")
@json_option
def sign(
    repo: str,
    *,
    url: str,
    token: str | None,
    revision: str,
    key: Path,
    password: str | None,
    output: Path | None,
    no_upload: bool,
    as_json: bool,
) -> None:
    """Sign a revision's files. The key never leaves this machine; git says what the files are, by the commit's own id."""
    from headwater.hub.releases import bundle
    from headwater.hub.releases.fetching import files_of
    from headwater.hub.verifying.remote import Remote

    private = bundle.load_private_key(key.read_bytes(), password)
    remote = Remote(url, token)
    try:
        commit, files = files_of(remote, repo, revision)
        made = bundle.sign(repo.rpartition("/")[2], files, private)
        public = bundle.public_pem(private.public_key())
        if output is not None:
            output.write_bytes(made)
        if not no_upload:
            kind, name = _kind_of(repo)
            body = {"revision": commit, "bundle": made.decode(), "public_key": public}
            remote.call("POST", f"api/v1/releases/{kind}/{name}", body)
    finally:
        remote.close()
    facts: dict[str, Any] = {
        "commit": commit,
        "files": len(bundle.parse(made).statement.files),
        "key_id": bundle.key_id(private.public_key()),
    }
    Output(as_json=as_json).result(
        facts, f"Signed {facts['files']} files of {repo} at {commit} with the key {facts['key_id'][:16]}…."
    )


@release.command("verify")
@click.argument("repo")
@_url
@_token
@_revision
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The public key (PEM) of who is to have signed.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Check this folder's files, too.",
)
@json_option
def verify(
    repo: str, *, url: str, token: str | None, revision: str, key: Path, folder: Path | None, as_json: bool
) -> None:
    """Check that a key has signed exactly the files of a revision, and of a folder that they were downloaded to."""
    from headwater.hub.releases import bundle
    from headwater.hub.releases.fetching import files_of
    from headwater.hub.releases.service import ReleaseNotFound
    from headwater.hub.verifying.remote import Remote

    public = bundle.load_public_key(key.read_text())
    remote = Remote(url, token)
    try:
        commit, files = files_of(remote, repo, revision)
        kind, name = _kind_of(repo)
        at = f"api/v1/releases/{kind}/{name}"
        listed = remote.call("GET", f"{at}?commit={commit}", None)
        mine = [one for one in listed if one["key_id"] == bundle.key_id(public)]
        if not mine:
            raise ReleaseNotFound
        parsed = bundle.parse(remote.read(f"{at}/{mine[0]['id']}/bundle"))
    finally:
        remote.close()
    bundle.check_signature(parsed, public)
    bundle.compare(parsed.statement, files)
    if folder is not None:
        bundle.compare(parsed.statement, _hash_folder(folder))
    facts: dict[str, Any] = {
        "commit": commit,
        "files": len(parsed.statement.files),
        "key_id": bundle.key_id(public),
        "folder": folder is not None,
    }
    Output(as_json=as_json).result(
        facts, f"Right: {facts['files']} files of {repo} at {commit} are those that were signed."
    )


def _kind_of(repo: str) -> tuple[str, str]:
    head, _, rest = repo.partition("/")
    return (head, rest) if head in ("datasets", "spaces") else ("models", repo)


def _hash_folder(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith((".cache/", ".git/")):
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
