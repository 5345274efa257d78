"""Every way to a file's bytes, in every state of the gate, for everybody: one table, over real HTTP and git.

``small`` lies in git itself (a configuration), ``large`` beside it (a pickle). What nobody may have through a door is not asked there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd
from sqlalchemy import update

from headwater import scanning
from headwater.accounts import Role
from headwater.hub import gate
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.tables.gate import file_verdict
from headwater.kernel import utcnow
from tests.community.test_pages import Browser
from tests.conftest import LiveApp
from tests.gate.files import EVIL
from tests.git.live import actor_named, git

STATES = ("suspicious", "queued", "released")
WRITER = "ada"
# (name, scope of the token): nobody; somebody else; who belongs to the owner and may read; a writer by a token that may not; a writer.
CALLERS = ((None, "read"), ("eve", "write"), ("bob", "write"), (WRITER, "read"), (WRITER, "write"))
LARGE, SMALL = "deep/model.pkl", "config.json"
HTTP = httpx.Client(follow_redirects=True, timeout=60)
_number = itertools.count()


@dataclass(frozen=True)
class Door:
    """One caller before one repository."""

    app: LiveApp
    repo: str
    large: bytes
    small: bytes
    user: str | None
    scope: str
    folder: Path
    browsers: dict[str | None, Browser] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """A word of the small file that stands nowhere else."""
        return json.loads(self.small)["about"]

    def browse(self, path: str) -> str:
        name = self.user if self.scope == "write" else None
        if name not in self.browsers:
            self.browsers[name] = Browser(self.app.url, name)
        return self.browsers[name].http.get(path).text

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.user is None else {"Authorization": f"Bearer {self.app.token(self.user, self.scope)}"}

    @property
    def git_address(self) -> str:
        who = "" if self.user is None else f"{self.user}:{self.app.token(self.user, self.scope)}@"
        return f"{self.app.url.replace('://', f'://{who}')}/{self.repo}"

    def ask(self, method: str, path: str, **more) -> httpx.Response:
        headers = self.headers | more.pop("headers", {})
        return HTTP.request(method, f"{self.app.url}{path}", headers=headers, **more)

    def has(self, answer: httpx.Response) -> bool:
        """Whether the answer has the bytes of either file, or as much of them as was asked for."""
        if answer.status_code >= 400:
            assert self.large[:8] not in answer.content
            assert self.small not in answer.content
            return False
        return True


def _resolve(view: str, path: str, method: str = "GET", **more) -> Callable[[Door], bool]:
    return lambda door: door.has(door.ask(method, f"/{door.repo}/{view}/main/{path}", **more))


def _by_pull(door: Door) -> bool:
    return door.has(door.ask("GET", f"/{door.repo}/resolve/refs%2Fpr%2F1/{LARGE}"))


def _by_commit(door: Door) -> bool:
    commit = door.app.hf(WRITER).list_repo_commits(door.repo)[0].commit_id
    return door.has(door.ask("GET", f"/{door.repo}/resolve/{commit}/{LARGE}"))


def _lfs(door: Door) -> bool:
    wanted = {"operation": "download", "objects": [{"oid": sha256_of(door.large), "size": len(door.large)}]}
    (given,) = door.ask("POST", f"/{door.repo}.git/info/lfs/objects/batch", json=wanted).json()["objects"]
    if "actions" not in given:
        assert given["error"]["code"] == 403
        return False
    return HTTP.get(given["actions"]["download"]["href"]).content == door.large


def _xet(door: Door) -> bool:
    told = door.app.hf(WRITER).get_paths_info(door.repo, LARGE)[0].xet_hash
    token = door.ask("GET", f"/api/models/{door.repo}/xet-read-token/main").json()
    bearer = {"Authorization": f"Bearer {token['accessToken']}"}
    found = [
        HTTP.get(f"{token['casUrl']}/{v}/reconstructions/{told}", headers=bearer).status_code for v in ("v1", "v2")
    ]
    assert len(set(found)) == 1
    return found[0] == 200


def _clone(*options: str) -> Callable[[Door], bool]:
    def door_of(door: Door) -> bool:
        folder = door.folder / str(next(_number))
        done = git(*options, "clone", "-q", "--bare", door.git_address, str(folder), check=False)
        if done.returncode != 0:
            return False
        return git("cat-file", "blob", f"HEAD:{SMALL}", cwd=folder).stdout.encode() == door.small

    return door_of


def _fetch_by_id(door: Door) -> bool:
    """The file's own id, asked for by hand; also written as git may read it and we may not."""
    oid = hashlib.sha1(b"blob %d\0" % len(door.small) + door.small).hexdigest()
    found = []
    for want in (f"want {oid}", f"want {oid.upper()}", f"want  {oid}"):
        line = f"{want}\n"
        body = f"0011command=fetch0001{len(line) + 4:04x}{line}0009done\n0000".encode()
        answer = door.ask("POST", f"/{door.repo}/git-upload-pack", content=body, headers={"Git-Protocol": "version=2"})
        found.append(answer.status_code == 200 and b"PACK" in answer.content)
    assert found[1] <= found[0]
    assert found[2] <= found[0]
    return found[0]


def _page(path: str) -> Callable[[Door], bool]:
    """As a browser sees it: pages know sessions, no tokens."""
    return lambda door: door.mark in door.browse(f"/{door.repo}/{path}")


def _duplicate(door: Door) -> bool:
    wanted = {"repository": f"{door.user or 'eve'}/door-copy-{next(_number)}"}
    return door.ask("POST", f"/api/models/{door.repo}/duplicate", json=wanted).status_code == 200


def _share(door: Door) -> bool:
    """Named in a repository of one's own, where one would write."""
    if door.user is None or door.scope == "read":
        return False
    own = door.app.hf(door.user).create_repo(f"{door.user}/door-own-{next(_number)}").repo_id
    wanted = {"target": {"type": "model", "name": own}, "files": [{"sha256": sha256_of(door.large)}]}
    answer = door.ask("POST", f"/api/models/{door.repo}/lfs-files/duplicate", json=wanted)
    told = {"operation": "upload", "objects": [{"oid": sha256_of(door.large), "size": len(door.large)}]}
    (asked,) = door.ask("POST", f"/{own}.git/info/lfs/objects/batch", json=told).json()["objects"]
    assert answer.json()["failed"] == [] or "actions" in asked
    return "actions" not in asked


DOORS: dict[str, Callable[[Door], bool]] = {
    "resolve large": _resolve("resolve", LARGE),
    "resolve small": _resolve("resolve", SMALL),
    "HEAD": _resolve("resolve", LARGE, "HEAD"),
    "HEAD small": _resolve("resolve", SMALL, "HEAD"),
    "raw": _resolve("raw", SMALL),
    "range": _resolve("resolve", LARGE, headers={"Range": "bytes=0-7"}),
    "download": _resolve("resolve", f"{LARGE}?download=true"),
    "by commit": _by_commit,
    "by pull request": _by_pull,
    "lfs": _lfs,
    "xet": _xet,
    "clone": _clone(),
    "clone of version 0": _clone("-c", "protocol.version=0"),
    "fetch by id": _fetch_by_id,
    "file page": _page(f"blob/main/{SMALL}"),
    "edit page": _page(f"edit/main/{SMALL}"),
    "duplicate": _duplicate,
    "name elsewhere": _share,
}
FOR_MEMBERS = ("edit page", "duplicate", "name elsewhere")  # who writes in a place of their own


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Shut:
    repo: str
    large: bytes
    small: bytes


@pytest.fixture(scope="module")
def shut(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LiveApp, dict[str | None, Browser], dict[str, Shut]]]:
    app = LiveApp(tmp_path_factory.mktemp("doors") / "data")
    try:
        app.add_people()
        app.add_member("lab", "bob", Role.READ)
        yield app, {}, {state: _fill(app, state) for state in STATES}
    finally:
        app.stop()


def _fill(app: LiveApp, state: str) -> Shut:
    config = {"auto_map": {"AutoModel": "somebody/else--modeling.Net"}, "about": f"mark-{state}"}
    made = Shut(f"lab/door-{state}", EVIL + state.encode(), json.dumps(config).encode())
    hf = app.hf(WRITER)
    hf.create_repo(made.repo)
    operations = [CommitOperationAdd(SMALL, made.small), CommitOperationAdd(LARGE, made.large)]
    hf.create_commit(made.repo, operations, commit_message="x")
    hf.create_commit(made.repo, [CommitOperationAdd("b.txt", b"b")], commit_message="y", create_pr=True)
    with app.opened() as site:
        kind, name = RepoKind.MODEL, RepoName(*made.repo.split("/"))
        _, held = site.db.read(gate.list_held, actor_named(site, WRITER), kind, name)
        keys = [(each.hold.content, each.hold.role) for each in held]
        assert len(keys) == 2
        for content, role in keys:
            if state == "released":
                act = gate.release, actor_named(site, WRITER), kind, name, (content, role), "for a demonstration"
                site.db.write(*act, now=utcnow())
            elif state == "queued":  # and no job for it, so that it stays
                same = (file_verdict.c.content == content, file_verdict.c.role == role)
                values = {"status": "queued", "rules": scanning.RULES_VERSION}
                site.db.write(
                    lambda tx, same=same, values=values: tx.execute(update(file_verdict).where(*same).values(values))
                )
    return made


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("door", DOORS)
def test_what_is_held_comes_to_writers_alone_and_what_is_released_to_everyone(shut, tmp_path, door: str, state: str):
    app, browsers, repos = shut
    there = repos[state]
    for user, scope in CALLERS:
        before = Door(app, there.repo, there.large, there.small, user, scope, tmp_path, browsers)
        may = state == "released" or (user, scope) == (WRITER, "write")
        if door in FOR_MEMBERS and (user is None or scope == "read"):
            may = False
        assert DOORS[door](before) is may, (user, scope)


@pytest.mark.parametrize(("state", "opens"), [("suspicious", True), ("queued", False), ("released", True)])
def test_the_step_opens_what_is_suspicious_and_nothing_that_waits(shut, tmp_path, state: str, opens: bool):
    app, _, repos = shut
    there = repos[state]
    step = {"X-Headwater-Accept": "suspicious"}
    stranger = Door(app, there.repo, there.large, there.small, None, "read", tmp_path)
    for path in (LARGE, SMALL, f"{LARGE}?accept=suspicious"):
        assert stranger.has(stranger.ask("GET", f"/{there.repo}/resolve/main/{path}", headers=step)) is opens
    assert _clone("-c", "http.extraHeader=X-Headwater-Accept: suspicious")(stranger) is opens
    assert _xet(stranger) is (state == "released")


def test_a_name_that_leads_to_the_same_file_is_the_same_file(shut, tmp_path):
    app, _, repos = shut
    there = repos["suspicious"]
    stranger = Door(app, there.repo, there.large, there.small, None, "read", tmp_path)
    for path in (
        f"{LARGE}/",
        f"/{LARGE}",
        f"./{LARGE}",
        f"deep/../{LARGE}",
        f"{LARGE}%2F",
        "deep//model.pkl",
        "deep%2Fmodel.pkl",
    ):
        assert not stranger.has(stranger.ask("GET", f"/{there.repo}/resolve/main/{path}")), path


def test_a_new_name_and_another_owner_change_nothing_of_what_is_held(shut, tmp_path):
    app, _, repos = shut
    there = repos["suspicious"]
    hf = app.hf(WRITER)
    for name in ("lab/door-renamed", "ada/door-moved"):
        hf.move_repo(there.repo, name)
        moved = replace(there, repo=name)
        stranger = Door(app, moved.repo, moved.large, moved.small, None, "read", tmp_path)
        for old in (there.repo, name):
            assert not stranger.has(stranger.ask("GET", f"/{old}/resolve/main/{LARGE}"))
        for each in ("lfs", "xet", "clone", "fetch by id", "resolve small"):
            assert DOORS[each](stranger) is False
        there = moved
