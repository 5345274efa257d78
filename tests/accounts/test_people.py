from __future__ import annotations

from datetime import timedelta

import pytest

from headwater import accounts
from headwater.accounts import (
    AccountNameTaken,
    BadCredential,
    LastAdmin,
    NotAllowed,
    NotAnOrganisation,
    NotAPerson,
    NotSignedIn,
    Role,
    SignUpPolicy,
)
from headwater.accounts.errors import BadSetting, LinkInvalid, SignInFailed, SignUpClosed, TooManyAttempts, WeakPassword
from headwater.accounts.passwords import hash_password
from headwater.accounts.service import identify, limits, links, organisations, people, sessions, tokens
from headwater.accounts.service.sessions import Browser
from headwater.kernel import ANONYMOUS, SYSTEM

from .conftest import NOW, with_token

HOME = Browser("192.0.2.7", "Firefox")
AWAY = Browser("198.51.100.9", "curl")
PASSWORD, HASHED = "four grey stones", hash_password("four grey stones")


def secret_of(path: str) -> str:
    return path.removeprefix("/link/")


def sign_in(site, name, password=PASSWORD, browser=HOME, now=NOW):
    return sessions.sign_in(site, ANONYMOUS, name=name, password=password, browser=browser, now=now)


def sign_up(site, name, link=None, browser=HOME, now=NOW):
    secret = None if link is None else secret_of(link)
    return people.sign_up(site, ANONYMOUS, name=name, password=PASSWORD, browser=browser, link_secret=secret, now=now)


def who(site, secret, now=NOW):
    found = site.db.read(identify.identify_session, secret, now=now)
    return None if found is None else found.actor


# ---- names


def test_a_name_is_given_once_for_people_and_organisations_in_any_case(site, person):
    person("ada")
    for name in ("ada", "Ada", "ADA"):
        with pytest.raises(AccountNameTaken):
            person(name)
        with pytest.raises(AccountNameTaken):
            site.db.write(accounts.create_organisation, SYSTEM, name, owner="ada", now=NOW)
    assert site.db.read(accounts.find_account, "aDa").name == "ada"
    assert site.db.read(accounts.find_account, "bob") is None


def test_only_administrators_make_people(site, person):
    for actor, refusal in ((ANONYMOUS, NotSignedIn), (person("bob"), NotAllowed)):
        with pytest.raises(refusal):
            site.db.write(accounts.create_person, actor, "new", password_hash=None, now=NOW)


# ---- signing in


def test_the_right_password_opens_a_session_and_signing_out_ends_it(site, person):
    ada = person("ada", password_hash=HASHED)
    signed_in = sign_in(site, "ADA")
    assert who(site, signed_in.secret) == ada
    (session,) = site.db.read(sessions.list_sessions, ada, now=NOW)
    assert session.user_agent == "Firefox"
    site.db.write(sessions.sign_out, ada, session.id)
    assert who(site, signed_in.secret) is None


def test_signing_out_everywhere_may_keep_this_browser(site, person):
    ada = person("ada", password_hash=HASHED)
    one, two = sign_in(site, "ada"), sign_in(site, "ada")
    here = site.db.read(identify.identify_session, one.secret, now=NOW).session
    site.db.write(sessions.sign_out_everywhere, ada, keep=here.id)
    assert who(site, one.secret) == ada
    assert who(site, two.secret) is None
    site.db.write(sessions.sign_out_everywhere, ada)
    assert who(site, one.secret) is None


def test_nobody_signs_out_someone_else(site, person):
    person("ada", password_hash=HASHED)
    bob = person("bob")
    signed_in = sign_in(site, "ada")
    session = site.db.read(identify.identify_session, signed_in.secret, now=NOW).session
    site.db.write(sessions.sign_out, bob, session.id)
    assert who(site, signed_in.secret) is not None


def test_unknown_names_wrong_passwords_and_organisations_are_refused_alike(site, person):
    person("ada", password_hash=HASHED)
    person("bob")  # has no password
    site.db.write(accounts.create_organisation, SYSTEM, "lab", owner="ada", now=NOW)
    said = set()
    for name, password in (("ada", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("bob", ""), ("lab", PASSWORD)):
        with pytest.raises(SignInFailed) as refusal:
            sign_in(site, name, password)
        said.add(refusal.value.message)
    assert len(said) == 1


def test_a_session_slides_while_used_and_ends_when_idle_or_old(site, person):
    person("ada", password_hash=HASHED)
    secret = sign_in(site, "ada").secret
    idle = identify.SESSION_IDLE
    assert who(site, secret, NOW + idle - timedelta(seconds=1)) is not None
    assert who(site, secret, NOW + idle) is None
    moment = NOW
    while moment < NOW + identify.SESSION_LONGEST:
        found = site.db.read(identify.identify_session, secret, now=moment)
        assert found is not None
        assert found.is_stale == (moment > NOW)
        site.db.write(identify.note_session_use, found.session, now=moment)
        moment += timedelta(days=10)
    assert who(site, secret, NOW + identify.SESSION_LONGEST) is None


def test_guessing_is_throttled_per_account_and_address_and_ends(site, person):
    person("ada", password_hash=HASHED)
    person("bob", password_hash=HASHED)
    for _ in range(sessions.PAIR_LIMIT):
        with pytest.raises(SignInFailed):
            sign_in(site, "ada", "wrong")
    with pytest.raises(TooManyAttempts) as refusal:
        sign_in(site, "ada")  # even the right one
    assert refusal.value.headers["Retry-After"] == str(int(sessions.WINDOW.total_seconds()))
    assert sign_in(site, "ada", browser=AWAY)  # a stranger does not lock ada out
    assert sign_in(site, "bob")  # others at the same address go on
    assert sign_in(site, "ada", now=NOW + sessions.WINDOW + timedelta(seconds=1))


def test_one_address_may_not_try_many_names(site):
    for n in range(sessions.ADDRESS_LIMIT):
        site.db.write(sessions.count_attempt, f"name{n}", "2001:db8::1", now=NOW)
    with pytest.raises(TooManyAttempts):
        site.db.write(sessions.count_attempt, "another", "2001:db8::ffff", now=NOW)  # the same /64
    site.db.write(sessions.count_attempt, "another", "2001:db8:0:1::1", now=NOW)


def test_ipv4_clients_of_an_ipv6_socket_count_each_for_itself(site):
    for n in range(sessions.ADDRESS_LIMIT):
        site.db.write(sessions.count_attempt, f"name{n}", "::ffff:192.0.2.1", now=NOW)
    for same in ("::ffff:192.0.2.1", "::FFFF:c000:201", "192.0.2.1"):
        with pytest.raises(TooManyAttempts):
            site.db.write(sessions.count_attempt, "another", same, now=NOW)
    for other in ("::ffff:192.0.2.2", "::1", "::2"):
        site.db.write(sessions.count_attempt, "another", other, now=NOW)
    assert [limits.network_of(one) for one in ("::1", "::2", "::ffff:10.0.0.1")] == ["::1", "::/64", "10.0.0.1"]


def test_signing_in_to_ones_own_account_does_not_wipe_failures_on_others(site, person):
    person("eve", password_hash=HASHED)
    for n in range(sessions.ADDRESS_LIMIT - 1):
        site.db.write(sessions.count_attempt, f"name{n}", HOME.address, now=NOW)
    sign_in(site, "eve")
    site.db.write(sessions.count_attempt, "one-more", HOME.address, now=NOW)
    with pytest.raises(TooManyAttempts):
        site.db.write(sessions.count_attempt, "and-another", HOME.address, now=NOW)


def test_counters_of_failures_do_not_pile_up(site):
    from sqlalchemy import func, select

    from headwater.accounts.tables import sign_in_failure

    for n in range(20):
        site.db.write(sessions.count_attempt, f"name{n}", f"192.0.2.{n}", now=NOW)
    site.db.write(sessions.count_attempt, "later", "192.0.2.1", now=NOW + sessions.WINDOW * 2)
    assert site.db.read(lambda tx: tx.execute(select(func.count()).select_from(sign_in_failure)).scalar()) == 3


# ---- suspending


def test_suspending_stops_sessions_and_tokens_at_once_and_reinstating_brings_tokens_back(site, person):
    person("boss", admin=True)
    bob = person("bob", password_hash=HASHED)
    session, made = sign_in(site, "bob"), site.db.write(tokens.create_token, bob, name="t", role="write", now=NOW)
    assert site.db.read(identify.identify_token, made.secret, now=NOW).actor.name == "bob"
    site.db.write(people.suspend, SYSTEM, "bob", now=NOW)
    site.db.write(people.suspend, SYSTEM, "bob", now=NOW)
    assert who(site, session.secret) is None
    with pytest.raises(BadCredential):
        site.db.read(identify.identify_token, made.secret, now=NOW)
    with pytest.raises(SignInFailed):
        sign_in(site, "bob")
    with pytest.raises(NotAllowed):
        site.db.write(links.make_reset_link, SYSTEM, "bob", now=NOW)
    site.db.write(people.reinstate, SYSTEM, "bob", now=NOW)
    assert who(site, session.secret) is None
    assert site.db.read(identify.identify_token, made.secret, now=NOW).actor == with_id(bob, made.info.id)
    assert sign_in(site, "bob")


def with_id(actor, token_id):
    from dataclasses import replace

    from headwater.kernel import TokenLimits

    return replace(actor, limits=TokenLimits(token_id, "t", "write"))


def test_the_last_administrator_of_the_site_stays(site, person):
    boss = person("boss", admin=True)
    for act in (
        lambda: site.db.write(people.suspend, boss, "boss", now=NOW),
        lambda: site.db.write(people.set_site_admin, boss, "boss", is_admin=False, now=NOW),
    ):
        with pytest.raises(LastAdmin):
            act()
    person("bob")
    site.db.write(people.set_site_admin, boss, "bob", is_admin=True, now=NOW)
    site.db.write(people.suspend, SYSTEM, "boss", now=NOW)
    with pytest.raises(LastAdmin):
        site.db.write(people.suspend, SYSTEM, "bob", now=NOW)


# ---- signing up, links


def test_sign_up_is_closed_but_for_the_first_administrators_link(site):
    with pytest.raises(SignUpClosed):
        sign_up(site, "ada")
    old = site.db.write(links.ensure_first_admin_link, NOW)
    link = site.db.write(links.ensure_first_admin_link, NOW)
    with pytest.raises(LinkInvalid):
        sign_up(site, "ada", old)
    signed_in = sign_up(site, "ada", link)
    assert signed_in.account.is_site_admin
    assert who(site, signed_in.secret).is_site_admin
    with pytest.raises(LinkInvalid):
        sign_up(site, "eve", link)
    assert site.db.write(links.ensure_first_admin_link, NOW) is None


def test_an_older_first_administrators_link_dies_with_the_first_administrator(site, person):
    link = site.db.write(links.ensure_first_admin_link, NOW)
    person("ada", admin=True)
    with pytest.raises(LinkInvalid):
        sign_up(site, "eve", link)


def test_open_sign_up_is_for_everyone_but_not_without_end(site, person):
    boss = person("boss", admin=True)
    site.db.write(accounts.set_sign_up_policy, boss, SignUpPolicy.OPEN, now=NOW)
    signed_in = sign_up(site, "bob")
    assert not signed_in.account.is_site_admin
    with pytest.raises(AccountNameTaken):
        sign_up(site, "Bob")
    with pytest.raises(accounts.BadAccountName):
        sign_up(site, "settings")
    with pytest.raises(WeakPassword):
        people.sign_up(site, ANONYMOUS, name="eve", password="short", browser=HOME, now=NOW)
    with pytest.raises(NotAllowed):
        site.db.write(accounts.set_sign_up_policy, accounts_actor(signed_in), SignUpPolicy.CLOSED, now=NOW)
    for _ in range(sessions.SIGN_UP_LIMIT - 1):
        site.db.write(sessions.count_sign_up, HOME.address, now=NOW)
    with pytest.raises(TooManyAttempts):
        sign_up(site, "many")


def accounts_actor(signed_in):
    from headwater.kernel import Actor

    return Actor(signed_in.account.id, signed_in.account.name)


def test_who_may_invite_depends_on_the_policy_at_the_time_of_use(site, person):
    boss, bob = person("boss", admin=True), person("bob")
    with pytest.raises(NotAllowed):
        site.db.write(links.invite_to_site, bob, now=NOW)
    with pytest.raises(NotSignedIn):
        site.db.write(links.invite_to_site, ANONYMOUS, now=NOW)
    assert sign_up(site, "one", site.db.write(links.invite_to_site, boss, now=NOW))
    site.db.write(accounts.set_sign_up_policy, boss, SignUpPolicy.INVITE, now=NOW)
    first, second, third = (site.db.write(links.invite_to_site, bob, note="for a friend", now=NOW) for _ in range(3))
    assert sign_up(site, "two", first)
    with pytest.raises(SignUpClosed):
        sign_up(site, "three")
    assert len(site.db.read(links.list_invitations, bob, now=NOW)) == 2
    site.db.write(accounts.set_sign_up_policy, boss, SignUpPolicy.CLOSED, now=NOW)
    with pytest.raises(LinkInvalid):
        sign_up(site, "three", second)
    site.db.write(accounts.set_sign_up_policy, boss, SignUpPolicy.INVITE, now=NOW)
    site.db.write(people.suspend, boss, "bob", now=NOW)
    with pytest.raises(LinkInvalid):
        sign_up(site, "three", third)


def test_links_expire_and_can_be_withdrawn(site, person):
    boss, eve = person("boss", admin=True), person("eve")
    link = site.db.write(links.invite_to_site, boss, now=NOW)
    with pytest.raises(LinkInvalid):
        sign_up(site, "bob", link, now=NOW + links.INVITATION_LIFE)
    (invitation,) = site.db.read(links.list_invitations, boss, now=NOW)
    with pytest.raises(NotAllowed):
        site.db.write(links.withdraw_invitation, eve, invitation.id)
    site.db.write(links.withdraw_invitation, boss, invitation.id)
    site.db.write(links.withdraw_invitation, boss, invitation.id)
    with pytest.raises(LinkInvalid):
        sign_up(site, "bob", link)


def test_an_invitation_to_an_organisation_makes_members_of_people_and_strangers(site, person):
    boss, ada, bob = person("boss", admin=True), person("ada"), person("bob")
    lab = site.db.write(accounts.create_organisation, ada, "lab", now=NOW)
    with pytest.raises(NotAllowed):
        site.db.write(links.invite_to_organisation, bob, "lab", Role.ADMIN, now=NOW)
    link = site.db.write(links.invite_to_organisation, ada, "lab", Role.WRITE, now=NOW)
    assert site.db.write(links.accept_invitation, bob, secret_of(link), now=NOW) == lab
    assert site.db.read(accounts.find_role, lab.id, bob.account_id) is Role.WRITE
    with pytest.raises(LinkInvalid):
        site.db.write(links.accept_invitation, boss, secret_of(link), now=NOW)
    link = site.db.write(links.invite_to_organisation, ada, "lab", Role.READ, now=NOW)
    with pytest.raises(SignUpClosed):  # ada may not bring strangers while sign-up is closed
        sign_up(site, "eve", link)
    site.db.write(links.accept_invitation, bob, secret_of(link), now=NOW)
    assert site.db.read(accounts.find_role, lab.id, bob.account_id) is Role.WRITE  # an invitation takes nothing away
    site.db.write(accounts.set_sign_up_policy, boss, SignUpPolicy.INVITE, now=NOW)
    link = site.db.write(links.invite_to_organisation, ada, "lab", Role.READ, now=NOW)
    eve = sign_up(site, "eve", link).account
    assert site.db.read(accounts.find_role, lab.id, eve.id) is Role.READ
    link = site.db.write(links.invite_to_organisation, ada, "lab", Role.READ, now=NOW)
    site.db.write(accounts.set_role, ada, "lab", "bob", Role.ADMIN, now=NOW)
    site.db.write(accounts.remove_member, ada, "lab", "ada", now=NOW)
    with pytest.raises(LinkInvalid):  # its maker no longer administers the organisation
        sign_up(site, "zoe", link)


def test_a_reset_link_gives_a_new_password_once_and_ends_sessions(site, person):
    boss = person("boss", admin=True)
    person("bob", password_hash=HASHED)
    old = sign_in(site, "bob")
    first = site.db.write(links.make_reset_link, boss, "bob", now=NOW)
    link = site.db.write(links.make_reset_link, boss, "bob", now=NOW)

    def reset(path, password="a new long one"):
        return people.reset_password(
            site, ANONYMOUS, link_secret=secret_of(path), password=password, browser=HOME, now=NOW
        )

    with pytest.raises(LinkInvalid):
        reset(first)
    with pytest.raises(WeakPassword):
        reset(link, "bob")
    new = reset(link)
    assert who(site, old.secret) is None
    assert who(site, new.secret) is not None
    assert sign_in(site, "bob", "a new long one")
    with pytest.raises(SignInFailed):
        sign_in(site, "bob")
    with pytest.raises(LinkInvalid):
        reset(link)
    with pytest.raises(LinkInvalid):  # a reset link opens nothing else
        sign_up(site, "eve", site.db.write(links.make_reset_link, boss, "bob", now=NOW) + "x")
    with pytest.raises(SignUpClosed):
        sign_up(site, "eve", site.db.write(links.make_reset_link, boss, "bob", now=NOW))
    with pytest.raises(NotAllowed):
        site.db.write(links.make_reset_link, person("eve"), "bob", now=NOW)


def test_changing_a_password_needs_the_old_one_and_ends_other_sessions(site, person):
    bob = person("bob", password_hash=HASHED)
    here, there = sign_in(site, "bob"), sign_in(site, "bob")
    session = site.db.read(identify.identify_session, here.secret, now=NOW).session

    def change(old, new, actor=bob):
        return people.change_password(site, actor, old=old, new=new, browser=HOME, keep_session=session.id, now=NOW)

    with pytest.raises(SignInFailed):
        change("wrong", "a new long one")
    with pytest.raises(WeakPassword):
        change(PASSWORD, "bob")
    with pytest.raises(NotAllowed):
        change(PASSWORD, "a new long one", with_token(bob, "write"))
    renewed = change(PASSWORD, "a new long one")
    assert who(site, renewed) is not None
    assert who(site, here.secret) is None  # a copy of the former cookie opens nothing
    assert who(site, there.secret) is None
    assert sign_in(site, "bob", "a new long one")


def test_profiles_are_changed_by_their_owners_and_kept_clean(site, person):
    bob = person("bob")

    def update(actor, **values):
        given = {"full_name": "Bob", "details": "two\r\nlines\x00", "email": " b@example.org ", **values}
        site.db.write(accounts.update_profile, actor, "bob", now=NOW, **given)

    update(bob)
    found = site.db.read(accounts.get_account, "bob")
    assert (found.full_name, found.details, found.email) == ("Bob", "two\nlines", "b@example.org")
    for wrong in ({"email": "no address"}, {"email": "@x"}, {"full_name": "x" * 201}, {"details": "x" * 4001}):
        with pytest.raises(BadSetting):
            update(bob, **wrong)
    with pytest.raises(NotAllowed):
        update(person("eve"))
    with pytest.raises(NotAllowed):
        update(with_token(bob, "write"))


# ---- organisations


def test_organisations_keep_an_administrator_and_members_may_leave(site, person):
    ada, bob = person("ada"), person("bob")
    lab = site.db.write(accounts.create_organisation, ada, "lab", now=NOW)
    for act in (
        lambda: site.db.write(accounts.remove_member, ada, "lab", "ada", now=NOW),
        lambda: site.db.write(accounts.set_role, ada, "lab", "ada", Role.READ, now=NOW),
    ):
        with pytest.raises(LastAdmin):
            act()
    with pytest.raises(NotAllowed):
        site.db.write(accounts.set_role, bob, "lab", "bob", Role.ADMIN, now=NOW)
    site.db.write(accounts.set_role, ada, "lab", "bob", Role.WRITE, now=NOW)
    with pytest.raises(NotAllowed):
        site.db.write(accounts.remove_member, bob, "lab", "ada", now=NOW)
    assert [(n.account.name, n.role) for n in site.db.read(accounts.namespaces_of, bob)] == [
        ("bob", Role.ADMIN),
        ("lab", Role.WRITE),
    ]
    assert [m.account.name for m in site.db.read(accounts.list_members, "lab").items] == ["ada", "bob"]
    assert site.db.read(accounts.count_members, [lab.id]) == {lab.id: 2}
    site.db.write(accounts.remove_member, bob, "lab", "bob", now=NOW)
    site.db.write(accounts.remove_member, ada, "lab", "bob", now=NOW)
    assert site.db.read(accounts.find_role, lab.id, bob.account_id) is None


def test_a_suspended_administrator_does_not_count_as_the_one_that_must_stay(site, person):
    ada, _ = person("ada"), person("bob")
    site.db.write(accounts.create_organisation, ada, "lab", now=NOW)
    site.db.write(accounts.set_role, ada, "lab", "bob", Role.ADMIN, now=NOW)
    site.db.write(people.suspend, SYSTEM, "bob", now=NOW)
    with pytest.raises(LastAdmin):
        site.db.write(accounts.remove_member, ada, "lab", "ada", now=NOW)
    site.db.write(accounts.remove_member, ada, "lab", "bob", now=NOW)


def test_people_and_organisations_are_not_taken_for_each_other(site, person):
    ada = person("ada")
    site.db.write(accounts.create_organisation, ada, "lab", now=NOW)
    with pytest.raises(NotAnOrganisation):
        site.db.read(organisations.list_members, "ada")
    with pytest.raises(NotAPerson):
        site.db.write(accounts.set_role, ada, "lab", "lab", Role.READ, now=NOW)
    with pytest.raises(NotAPerson):
        site.db.write(people.suspend, SYSTEM, "lab", now=NOW)
    with pytest.raises(NotAllowed):
        site.db.write(accounts.create_organisation, ada, "other", owner=person("bob").name, now=NOW)


def test_members_come_in_pages(site, person):
    ada = person("ada")
    site.db.write(accounts.create_organisation, ada, "lab", now=NOW)
    for n in range(4):
        person(f"p{n}")
        site.db.write(accounts.set_role, ada, "lab", f"p{n}", Role.READ, now=NOW)
    names, cursor = [], None
    while True:
        page = site.db.read(accounts.list_members, "lab", cursor=cursor, limit=2)
        names += [m.account.name for m in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert names == ["ada", "p0", "p1", "p2", "p3"]


# ---- tokens


def test_a_token_works_until_it_expires_or_is_revoked(site, person):
    bob = person("bob")
    made = site.db.write(tokens.create_token, bob, name="ci", role="read", expires_at=NOW + timedelta(hours=1), now=NOW)
    found = site.db.read(identify.identify_token, made.secret, now=NOW)
    assert found.actor.limits.role == "read"
    assert found.is_stale
    site.db.write(identify.note_token_use, made.info.id, now=NOW)
    assert not site.db.read(identify.identify_token, made.secret, now=NOW).is_stale
    with pytest.raises(BadCredential):
        site.db.read(identify.identify_token, made.secret, now=NOW + timedelta(hours=1))
    with pytest.raises(accounts.TokenNotFound):
        site.db.write(tokens.revoke_token, person("eve"), made.info.id, now=NOW)
    site.db.write(tokens.revoke_token, bob, made.info.id, now=NOW)
    site.db.write(tokens.revoke_token, bob, made.info.id, now=NOW)
    with pytest.raises(BadCredential):
        site.db.read(identify.identify_token, made.secret, now=NOW)
    assert site.db.read(tokens.list_tokens, bob) == []


def test_tokens_are_made_by_their_owners_and_only_as_they_can_be(site, person):
    from headwater.kernel import Grant

    bob, eve = person("bob"), person("eve")
    with pytest.raises(NotAllowed):
        site.db.write(tokens.create_token, eve, name="x", role="read", owner="bob", now=NOW)
    with pytest.raises(NotAllowed):
        site.db.write(tokens.create_token, with_token(bob, "write"), name="x", role="admin", now=NOW)
    assert site.db.write(tokens.create_token, with_token(bob, "admin"), name="x", role="admin", now=NOW)
    for wrong in (
        {"role": "owner"},
        {"role": "fine"},
        {"role": "read", "grants": [Grant("read", repo_id=1)]},
        {"role": "fine", "grants": [Grant("fly", repo_id=1)]},
        {"role": "fine", "grants": [Grant("read")]},
        {"role": "fine", "grants": [Grant("read", repo_id=n) for n in range(201)]},
        {"role": "read", "name": " "},
        {"role": "read", "name": "a\nb"},
        {"role": "read", "expires_at": NOW},
    ):
        with pytest.raises(accounts.BadTokenRequest):
            site.db.write(tokens.create_token, bob, **{"name": "x", "now": NOW, **wrong})


def test_the_database_holds_no_secret(site, person):
    person("bob", password_hash=HASHED)
    bob_session = sign_in(site, "bob").secret
    token = site.db.write(tokens.create_token, SYSTEM, owner="bob", name="t", role="read", now=NOW).secret
    link = secret_of(site.db.write(links.make_reset_link, SYSTEM, "bob", now=NOW))
    site.db.close()
    stored = b"".join(path.read_bytes() for path in site.data_dir.glob("headwater.db*"))
    for secret in (bob_session, token, link, PASSWORD):
        assert secret.encode() not in stored


def test_acts_that_others_rely_on_are_in_the_ledger(site, person):
    from sqlalchemy import select

    from headwater.ledger.tables import entry

    ada = person("ada", admin=True)
    person("bob")
    site.db.write(accounts.create_organisation, ada, "lab", now=NOW)
    site.db.write(accounts.set_role, ada, "lab", "bob", Role.READ, now=NOW)
    site.db.write(accounts.set_role, ada, "lab", "bob", Role.READ, now=NOW)
    site.db.write(accounts.remove_member, ada, "lab", "bob", now=NOW)
    site.db.write(people.suspend, ada, "bob", now=NOW)
    kinds = site.db.read(lambda tx: [row.kind for row in tx.execute(select(entry.c.kind).order_by(entry.c.id))])
    assert kinds == [
        "account.created",
        "account.created",
        "organisation.created",
        "member.role_set",
        "member.removed",
        "account.suspended",
    ]


def test_what_opens_nothing_any_more_is_swept_away(site, person):
    from sqlalchemy import func, select

    from headwater.accounts import tables
    from headwater.accounts.jobs import sweep_credentials
    from headwater.kernel import utcnow

    boss = person("boss", admin=True, password_hash=HASHED)
    long_ago, now = utcnow() - timedelta(days=200), utcnow()
    for moment in (long_ago, now):
        sign_in(site, "boss", now=moment)
        site.db.write(links.invite_to_site, boss, now=moment)
        site.db.write(sessions.count_attempt, "boss", AWAY.address, now=moment)
    old = site.db.write(tokens.create_token, boss, name="old", role="read", now=long_ago)
    site.db.write(lambda tx: sessions.start_session(tx, accounts.get_self(tx, boss), user_agent="", now=long_ago))
    sweep_credentials(site)

    def count(table):
        return site.db.read(lambda tx: tx.execute(select(func.count()).select_from(table)).scalar())

    assert (count(tables.session), count(tables.one_time_link)) == (1, 1)
    assert site.db.read(identify.identify_token, old.secret, now=now).actor.account_id == boss.account_id
