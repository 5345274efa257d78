"""Who asks, and what for: the people, credentials and repositories that the table of answers speaks of."""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from huggingface_hub import CommitOperationAdd

from headwater.accounts.models import Role
from headwater.accounts.service import people, tokens
from headwater.kernel import SYSTEM, Grant, utcnow
from tests.conftest import LiveApp
from tests.review.browser import sign_in

ORG = "works"
NAMES = {"public": "open-kettle", "private": "shut-kettle", "gated": "paid-kettle"}
SECRET = "quicksilver-recipe"  # stands in every file and title, so that it can be looked for in refusals
KINDS = ("model", "dataset", "space")
WHO = ("nobody", "read", "write", "other", "expired", "revoked", "suspended", "session", "stranger", "admin")
DEAD = ("expired", "revoked", "suspended")


@dataclass
class Asker:
    """One column of the table. ``me`` is whose namespace new things are put into."""

    who: str
    me: str
    client: httpx.Client
    headers: dict[str, str]


@dataclass
class World:
    """A site with an organisation, three repositories of each kind in it, and everybody who may ask."""

    app: LiveApp
    askers: dict[str, Asker] = field(default_factory=dict)
    commits: dict[tuple[str, str], str] = field(default_factory=dict)  # (kind, visibility) -> id
    pictures: dict[str, str] = field(default_factory=dict)  # by visibility of the repository whose talk shows it
    pulls: dict[tuple[str, str], str] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)  # that are over, by visibility of what they read
    hook: str = ""
    oid: str = ""
    link: str = ""  # opens the large file by itself
    n: int = 0
    _people: list[str] = field(default_factory=list)

    def next(self) -> int:
        """A number that was not used yet: for names of new things."""
        self.n += 1
        return self.n

    def owner(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The owner does something that a request to come needs."""
        asker = self.askers["write"]
        answer = asker.client.request(method, path, headers=asker.headers, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer

    def person(self) -> str:
        """Somebody new who cannot sign in; made by the dozen."""
        if not self._people:
            self._people = [f"p{self.next()}" for _ in range(24)]
            with self.app.opened() as site:
                for name in self._people:
                    site.db.write(people.create_person, SYSTEM, name, password_hash=None, now=utcnow())
        return self._people.pop()

    def close(self) -> None:
        for asker in self.askers.values():
            asker.client.close()


def make_world(app: LiveApp) -> World:
    """``works`` is an organisation of bob and sid; sid was suspended afterwards. eve has nothing to do with it."""
    app.add_person("sid")
    app.add_person("zoe")
    with app.opened() as site:
        from headwater.accounts.service import organisations

        site.db.write(organisations.create_organisation, SYSTEM, ORG, owner="bob", now=utcnow())
        site.db.write(organisations.create_organisation, SYSTEM, "empty", owner="zoe", now=utcnow())
        site.db.write(organisations.set_role, SYSTEM, ORG, "sid", Role.ADMIN, now=utcnow())
    world = World(app)
    _make_repositories(world)
    _make_askers(world)
    _make_things(world)
    return world


def _make_run(world: World, visibility: str, name: str) -> int:
    """One of the organisation's that is over: what it did is not asked here."""
    from headwater import accounts
    from headwater.compute.rows import RunInput
    from headwater.compute.store import runs
    from headwater.db import Tx
    from headwater.hub.access import find_by_name
    from headwater.hub.models import RepoKind, RepoName
    from headwater.kernel import CommitId

    def act(tx: Tx) -> int:
        repo = find_by_name(tx, RepoKind.MODEL, RepoName(ORG, name))
        assert repo is not None
        now, bob = utcnow(), accounts.get_account(tx, "bob")
        values = {
            "kind": "none",
            "name": "a run",
            "state": "succeeded",
            "owner_id": repo.owner_id,
            "created_by": bob.id,
        }
        values |= {"is_private": False, "priority": 0, "recipe_text": "kind: none", "recipe_digest": "0" * 64}
        values |= {"resolved": {"with": {}, "seed": 0}, "cpus": 1.0, "memory_bytes": 1, "gpus": 0, "retries": 0}
        number = runs.insert_run(tx, values | {"created_at": now, "due_at": now, "started_at": now, "ended_at": now})
        commit = CommitId(world.commits["model", visibility])
        runs.insert_parts(tx, number, [RunInput("model", repo.id, f"models/{repo.name}", "main", commit)], [])
        _make_evaluation(tx, world, number, visibility, repo.id)
        return number

    with world.app.opened() as site:
        return site.db.write(act)


def _make_evaluation(tx: Any, world: World, number: Any, visibility: str, model_id: Any) -> None:
    """As if that run had been one: of the model, on the dataset of the same name."""
    from headwater.evaluation import store
    from headwater.evaluation.models import Evaluation
    from headwater.hub.access import find_by_name
    from headwater.hub.models import RepoKind, RepoName
    from headwater.kernel import CommitId

    suite = find_by_name(tx, RepoKind.DATASET, RepoName(ORG, NAMES[visibility]))
    assert suite is not None
    found = Evaluation(
        run_id=number,
        model_repo_id=model_id,
        model_commit=CommitId(world.commits["model", visibility]),
        endpoint=None,
        suite_repo_id=suite.id,
        suite_commit=CommitId(world.commits["dataset", visibility]),
        results_repo_id=None,
        results_commit=None,
        results_folder="",
        command="lm_eval",
        harness="lm-eval",
        few_shot=None,
        item_limit=None,
        seed=0,
        is_cut=False,
        reproduces=None,
        ended_at=utcnow(),
    )
    store.insert_evaluation(tx, found)


def _make_repositories(world: World) -> None:
    bob = world.app.hf("bob")
    for kind in KINDS:
        extra = {"space_sdk": "static"} if kind == "space" else {}
        for visibility, name in NAMES.items():
            full = f"{ORG}/{name}"
            bob.create_repo(full, repo_type=kind, private=visibility == "private", **extra)
            done = bob.create_commit(
                full,
                [
                    CommitOperationAdd("README.md", f"---\nlicense: mit\n---\n# {SECRET}\n".encode()),
                    CommitOperationAdd("model.safetensors", io.BytesIO(_weights())),
                    CommitOperationAdd("folder/a.txt", SECRET.encode()),
                ],
                commit_message=f"The {SECRET}",
                repo_type=kind,
            )
            world.commits[kind, visibility] = done.oid
            bob.create_tag(full, tag="v1", repo_type=kind)
            bob.create_discussion(full, f"On the {SECRET}", repo_type=kind)
            if visibility == "gated":
                bob.update_repo_settings(full, gated="manual", repo_type=kind)
    found = bob.get_paths_info(f"{ORG}/{NAMES['public']}", ["model.safetensors"])[0]
    assert found.lfs is not None
    world.oid = found.lfs.sha256
    for owner in ("bob", "eve", "ada"):
        world.app.hf(owner).create_repo(f"{owner}/own")


def _make_things(world: World) -> None:
    """What the owner needs an asker for: pictures in talks, a link to a file."""
    for at, (visibility, name) in enumerate(NAMES.items()):
        sent = {"content": picture(at), "headers": {"Content-Type": "image/png"} | world.askers["write"].headers}
        made = world.askers["write"].client.post("/uploads", **sent)
        assert made.is_success, made.text
        world.pictures[visibility] = made.text.strip().rpartition("/")[2]
        talk = f"/api/models/{ORG}/{name}/discussions/1/comment"
        world.owner("POST", talk, json={"comment": f"![](/uploads/{world.pictures[visibility]})"})
    body = {"operation": "download", "objects": [{"oid": world.oid, "size": len(_weights())}]}
    answer = world.owner("POST", f"/{ORG}/{NAMES['private']}.git/info/lfs/objects/batch", json=body)
    for visibility, name in NAMES.items():
        make_endpoint(world, visibility, name)
        world.runs[visibility] = _make_run(world, visibility, name)
    world.link = answer.json()["objects"][0]["actions"]["download"]["href"].rpartition("/")[2]


def make_endpoint(world: World, visibility: str, name: str) -> None:
    """Served to whom the repository is open; no engine ever runs, as nothing here is a model."""
    from headwater import accounts
    from headwater.hub.access import find_by_name
    from headwater.hub.models import RepoKind, RepoName
    from headwater.serving import store

    with world.app.opened() as site:
        owner = site.db.read(accounts.get_account, ORG)
        person = site.db.read(accounts.get_account, "bob")
        repo = site.db.read(find_by_name, RepoKind.MODEL, RepoName(ORG, NAMES[visibility]))
        assert repo is not None
        now = utcnow()
        values = {
            "owner_id": owner.id, "name": name, "name_key": name, "repo_id": repo.id, "commit_id": repo.head_commit,
            "file": "none.gguf", "engine": "llama.cpp", "task": "generate",
            "access": "members" if visibility == "private" else "everyone", "context_tokens": 64, "slots": 1,
            "idle_s": 0, "wanted": "stopped", "created_by": person.id, "created_at": now, "changed_at": now,
        }  # fmt: skip
        site.db.write(store.insert_endpoint, values, now=now)


def picture(shade: int) -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]))
    pixels = chunk(b"IDAT", zlib.compress(bytes([0, shade % 256, shade // 256 % 256, shade // 65536])))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")


def _weights() -> bytes:
    head = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    return len(head).to_bytes(8, "little") + head + bytes(8)


def _make_askers(world: World) -> None:
    app, now = world.app, utcnow()
    with app.opened() as site:
        from headwater.hub.access import find_by_name
        from headwater.hub.models import RepoKind, RepoName

        own = site.db.read(find_by_name, RepoKind.MODEL, RepoName("bob", "own"))
        assert own is not None

        def token(owner: str, role: str, **more: object) -> tokens.NewToken:
            given = {"grants": (), "expires_at": None, "now": now} | more
            return site.db.write(tokens.create_token, SYSTEM, owner=owner, name=f"{role} here", role=role, **given)  # type: ignore[arg-type]

        other = token("bob", "fine", grants=(Grant("write", None, own.id),))
        day = timedelta(days=1)
        expired = token("bob", "write", now=now - 2 * day, expires_at=now - day)
        revoked, suspended = token("bob", "write"), token("sid", "write")
        site.db.write(tokens.revoke_token, SYSTEM, revoked.info.id, now=now)
        site.db.write(people.suspend, SYSTEM, "sid", now=now)
    secrets = {
        "read": ("bob", app.token("bob", "read")),
        "write": ("bob", app.token("bob")),
        "other": ("bob", other.secret),
        "expired": ("bob", expired.secret),
        "revoked": ("bob", revoked.secret),
        "suspended": ("sid", suspended.secret),
        "stranger": ("eve", app.token("eve")),
    }
    for who in WHO:
        me, secret = secrets.get(who, ("bob", ""))
        if who in ("session", "admin"):
            world.askers[who] = signed_in(app, who)
        else:
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            world.askers[who] = Asker(who, me, httpx.Client(base_url=app.url, timeout=60), headers)


def signed_in(app: LiveApp, who: str, me: str | None = None) -> Asker:
    """A new session of bob, or of the administrator; or of ``me``."""
    me = me or {"session": "bob", "admin": "ada"}[who]
    client = sign_in(app, me)
    word = re.search(r'name="csrf" value="([^"]*)"', client.get("/new/model").text)
    assert word is not None
    return Asker(who, me, client, {"X-CSRF-Token": word[1], "Origin": app.url})
