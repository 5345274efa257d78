"""Every action, on every sort of thing, by every role, with every sort of token, against a model written down apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Integer, MetaData, Table, create_engine, insert, select

from headwater import accounts
from headwater.accounts import Action, Disabled, GateClosed, Hidden, NotAllowed, NotSignedIn, Resource, Role, Visibility
from headwater.accounts.store import gates
from headwater.kernel import ANONYMOUS, SYSTEM, Actor, Grant
from tests import growth

from .conftest import NOW, with_token

REPO, OTHER_REPO = 7, 8
VISIBILITIES = ("public", "private", "gated", "gated private", "disabled")
WHO = ("stranger", "outsider", "let in", "read", "contribute", "creator", "write", "admin", "site admin")
TOKENS = (
    "browser",
    "read",
    "write",
    "admin",
    "fine read here",
    "fine write here",
    "fine admin on owner",
    "fine read elsewhere",
)
ON_REPOSITORIES = (Action.READ, Action.READ_FILES, Action.DISCUSS, Action.WRITE, Action.ADMIN)


@pytest.fixture
def world(site, person):
    return build_world(site, person)


def build_world(site, person):
    """An organisation with one member of each role, and the repository ``REPO`` of it that ``creator`` made."""
    people = {name: person(name.replace(" ", "-") + "-x") for name in WHO if name not in ("stranger", "site admin")}
    people["site admin"] = person("boss", admin=True)
    lab = site.db.write(accounts.create_organisation, SYSTEM, "lab", owner="admin-x", now=NOW)
    for name, role in (
        ("read", Role.READ),
        ("contribute", Role.CONTRIBUTE),
        ("creator", Role.CONTRIBUTE),
        ("write", Role.WRITE),
    ):
        site.db.write(accounts.set_role, SYSTEM, "lab", f"{name}-x", role, now=NOW)
    site.db.write(
        lambda tx: gates.insert_request(
            tx,
            REPO,
            people["let in"].account_id,
            status="accepted",
            fields={},
            by_grant=True,
            handled_by=None,
            now=NOW,
        )
    )
    return site, lab, people


def resource(lab, people, visibility: str) -> Resource:
    return Resource(
        owner_id=lab.id,
        repo_id=REPO,
        is_private="private" in visibility,
        gated="manual" if "gated" in visibility else "",
        created_by=people["creator"].account_id,
        is_disabled=visibility == "disabled",
    )


def actor_of(lab, people, who: str, token: str) -> Actor | None:
    if who == "stranger":
        return ANONYMOUS if token == "browser" else None
    grants = {
        "fine read here": [Grant("read", repo_id=REPO)],
        "fine write here": [Grant("write", repo_id=REPO)],
        "fine admin on owner": [Grant("admin", account_id=lab.id)],
        "fine read elsewhere": [Grant("admin", repo_id=OTHER_REPO)],
    }
    if token == "browser":
        return people[who]
    if token in grants:
        return with_token(people[who], "fine", *grants[token])
    return with_token(people[who], token)


def model(who: str, token: str, visibility: str, action: Action) -> str:
    """What must happen, in words that owe nothing to the code: ok, hidden, gate, sign in, no, disabled."""
    member = who in ("read", "contribute", "creator", "write", "admin", "site admin")
    reaches = token != "fine read elsewhere"
    token_rank = {"browser": 9, "read": 1, "write": 3, "admin": 4, "fine read here": 1, "fine write here": 3}
    rank = token_rank.get(token, 4 if reaches else 0)
    if "private" in visibility and not (member and reaches):
        return "hidden"
    if action is Action.READ:
        return "ok"
    if visibility == "disabled" and who != "site admin":
        return "disabled"
    if action is Action.READ_FILES:
        if "gated" not in visibility or ((member or who == "let in") and reaches):
            return "ok"
        return "gate"
    if who == "stranger":
        return "sign in"
    needed_rank = {Action.DISCUSS: 2, Action.WRITE: 3, Action.ADMIN: 3}[action]
    if rank < needed_rank:
        return "no"
    allowed = {
        Action.DISCUSS: set(WHO),
        Action.WRITE: {"creator", "write", "admin", "site admin"},
        Action.ADMIN: {"creator", "admin", "site admin"},
    }[action]
    return "ok" if who in allowed else "no"


OUTCOMES = {Hidden: "hidden", GateClosed: "gate", NotSignedIn: "sign in", NotAllowed: "no", Disabled: "disabled"}


def outcome(tx, actor, action, on) -> str:
    try:
        accounts.require(tx, actor, action, on=on)
    except tuple(OUTCOMES) as refusal:
        return OUTCOMES[type(refusal)]
    return "ok"


def test_every_action_by_everyone_on_everything(world):
    site, lab, people = world
    wrong, n = [], 0
    with site.db.reading() as tx:
        for who, token, visibility, action in itertools.product(WHO, TOKENS, VISIBILITIES, ON_REPOSITORIES):
            actor = actor_of(lab, people, who, token)
            if actor is None:
                continue
            on = resource(lab, people, visibility)
            got, expected = outcome(tx, actor, action, on), model(who, token, visibility, action)
            n += 1
            if got != expected:
                wrong.append((who, token, visibility, action.value, f"got {got}, expected {expected}"))
            assert accounts.allows(tx, actor, action, on=on) == (got == "ok")
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert n > 1500


def test_hidden_and_absent_say_the_same(world):
    site, lab, people = world
    private = resource(lab, people, "private")
    with site.db.reading() as tx, pytest.raises(Hidden) as one:
        accounts.require(tx, people["outsider"], Action.ADMIN, on=private)
    with site.db.reading() as tx, pytest.raises(Hidden) as other:
        accounts.require(tx, ANONYMOUS, Action.READ, on=private)
    assert str(one.value) == str(other.value)
    assert "lab" not in str(one.value)


def test_the_gate_tells_whether_one_asked(world):
    site, lab, people = world
    gated = resource(lab, people, "gated")
    cases = {ANONYMOUS: (False, False), people["outsider"]: (False, True)}
    with site.db.reading() as tx:
        for actor, (asked, signed_in) in cases.items():
            with pytest.raises(GateClosed) as gate:
                accounts.require(tx, actor, Action.READ_FILES, on=gated)
            assert (gate.value.asked, gate.value.signed_in) == (asked, signed_in)


@pytest.mark.parametrize("token", ["browser", "read", "write", "admin", "fine admin on owner"])
def test_the_site_is_for_its_administrators(world, token):
    site, lab, people = world
    with site.db.reading() as tx:
        assert outcome(tx, ANONYMOUS, Action.MANAGE_SITE, None) == "sign in"
        assert outcome(tx, SYSTEM, Action.MANAGE_SITE, None) == "ok"
        assert outcome(tx, actor_of(lab, people, "admin", token), Action.MANAGE_SITE, None) == "no"
        boss = actor_of(lab, people, "site admin", token)
        assert outcome(tx, boss, Action.MANAGE_SITE, None) == ("ok" if token in ("browser", "admin") else "no")


@pytest.mark.parametrize("token", ["browser", "read", "write", "admin"])
def test_a_namespace_is_for_its_members(world, token):
    site, lab, people = world
    space = Resource(owner_id=lab.id)
    may_create = {"contribute", "creator", "write", "admin", "site admin"}
    with site.db.reading() as tx:
        for who in WHO:
            actor = actor_of(lab, people, who, token)
            if actor is None:
                continue
            create = outcome(tx, actor, Action.CREATE_REPOSITORY, space)
            manage = outcome(tx, actor, Action.MANAGE_ACCOUNT, space)
            if who == "stranger":
                assert (create, manage) == ("sign in", "sign in")
                continue
            assert create == ("ok" if who in may_create and token != "read" else "no"), who
            assert manage == ("ok" if who in ("admin", "site admin") and token in ("browser", "admin") else "no"), who


def test_lists_show_what_require_lets_read(world):
    """``visible`` in SQL, ``visible`` in memory and ``require`` give one answer, for every actor and repository."""
    site, lab, people = world
    repos = Table(
        "r", MetaData(), Column("id", Integer), Column("owner", Integer), Column("private", Boolean, nullable=False)
    )
    owners = [lab.id, *(p.account_id for p in people.values())]
    rows = [
        {"id": n, "owner": owner, "private": private}
        for n, (owner, private) in enumerate(itertools.product(owners, [True, False]), start=REPO)
    ]
    engine = create_engine("sqlite://")
    with engine.connect() as conn, site.db.reading() as tx:
        repos.create(conn)
        conn.execute(insert(repos), rows)
        for who, token in itertools.product(WHO, TOKENS):
            actor = actor_of(lab, people, who, token)
            if actor is None:
                continue
            seen = accounts.visible(tx, actor)
            where = seen.where(owner_id=repos.c.owner, repo_id=repos.c.id, is_private=repos.c.private)
            listed = {row.id for row in conn.execute(select(repos.c.id).where(where))}
            for row in rows:
                on = Resource(owner_id=row["owner"], repo_id=row["id"], is_private=row["private"])
                may = accounts.allows(tx, actor, Action.READ, on=on)
                assert (row["id"] in listed) == may, (who, token, row)
                assert seen.shows(owner_id=row["owner"], repo_id=row["id"], is_private=row["private"]) == may
            assert accounts.readable_owner_ids(tx, actor) == (None if seen.owner_ids is None else set(seen.owner_ids))
        assert accounts.visible(tx, SYSTEM) == Visibility(None)


grants = st.builds(
    Grant,
    st.sampled_from(["read", "contribute", "write", "admin", "nonsense"]),
    account_id=st.one_of(st.none(), st.integers(1, 12)),
    repo_id=st.one_of(st.none(), st.integers(1, 12)),
)


@given(lines=st.lists(grants, max_size=4), action=st.sampled_from(ON_REPOSITORIES), repo_id=st.integers(1, 12))
def test_a_token_never_gives_more_than_its_owner_has(world_once, lines, action, repo_id):
    site, lab, people = world_once
    on = Resource(owner_id=lab.id, repo_id=repo_id, is_private=True)
    with site.db.reading() as tx:
        for who in WHO[1:]:
            if accounts.allows(tx, with_token(people[who], "fine", *lines), action, on=on):
                assert accounts.allows(tx, people[who], action, on=on)


@pytest.fixture(scope="module")
def world_once(tmp_path_factory):
    from headwater.assembly import build_site, prepare_data

    folder = tmp_path_factory.mktemp("rights")
    settings = growth.settings_of(folder)
    prepare_data(folder, settings)
    site = build_site(folder, settings, base_url="http://hub.test")

    def make(name: str, *, admin: bool = False) -> Actor:
        made = site.db.write(accounts.create_person, SYSTEM, name, password_hash=None, is_site_admin=admin, now=NOW)
        return Actor(made.id, made.name, is_site_admin=admin)

    yield build_world(site, make)
    site.db.close()
