"""Second factors as the services see them: codes, passkeys, recovery codes, and how fresh a proof must be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import accounts
from headwater.accounts import passkeys, passwords, sealing, totp
from headwater.accounts.browsers import Browser
from headwater.accounts.errors import (
    BadSecondFactor,
    CodeNotFound,
    PasskeyRefused,
    ProofNeeded,
    SecondFactorRefused,
    SecondStepOver,
    SignInFailed,
    TooManyAttempts,
)
from headwater.accounts.passkeys import Party
from headwater.accounts.service import devices, identify, journal, links, people, second, sessions, tokens
from headwater.accounts.service.freshness import FRESH
from headwater.accounts.service.second import Shown
from headwater.accounts.service.sessions import SecondStep, SignedIn
from headwater.accounts.tables import second_factor
from headwater.hub import repos
from headwater.hub.content.large_files import delete_large_files
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import ANONYMOUS, SYSTEM, Grant, Sha256
from tests.accounts.authenticator import Authenticator, text_of
from tests.accounts.conftest import NOW, with_token

PASSWORD = "seven calm herons drink"
HASHED = passwords.hash_password(PASSWORD)
HOME = Browser("192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
AWAY = Browser("203.0.113.9", "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0")
PARTY = Party("localhost", "http://localhost:8000")


@pytest.fixture
def ada(site, person):
    person("ada", password_hash=HASHED)
    return lambda secret, now=NOW: site.db.read(identify.identify_session, secret, now=now).actor


def first_step(site, *, browser=HOME, now=NOW, password=PASSWORD, name="ada"):
    return sessions.sign_in(site, ANONYMOUS, name=name, password=password, browser=browser, now=now)


def second_step(site, ticket, shown, *, browser=HOME, now=NOW):
    return sessions.finish_sign_in(site, ticket, shown, browser=browser, now=now)


def set_up_app(site, actor, *, now=NOW):
    """The app's secret, and the recovery codes that came with it."""
    begun = second.begin_app(site, actor, now=now)
    code = totp.code_at(begun.secret, totp.step_of(now))
    codes = second.finish_app(site, actor, sealed=begun.sealed, code=code, name="phone", browser=HOME, now=now)
    return begun.secret, codes


def add_passkey(site, actor, *, now=NOW, key=None):
    key = key or Authenticator(PARTY.origin, PARTY.rp_id)
    asked = second.begin_passkey(site, actor, PARTY, now=now)
    shown = Shown(answer=key.create(asked.options), challenge=asked.challenge, party=PARTY)
    return key, second.finish_passkey(site, actor, shown, name="key", browser=HOME, now=now)


def answered(site, key, *, known=(), now=NOW, party=PARTY, **bent):
    asked = second.ask_for_passkey(site, party, known=known, now=now)
    return Shown(answer=key.get(asked.options, **bent), challenge=asked.challenge, party=party)


# ---- codes


def test_codes_are_those_of_the_standard():
    """RFC 6238, appendix B; its eight digits end in our six."""
    secret = b"12345678901234567890"
    for moment, code in (
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ):
        now = datetime.fromtimestamp(moment, UTC)
        assert totp.code_at(secret, totp.step_of(now)) == code[2:]


@given(st.binary(min_size=20, max_size=20), st.integers(min_value=-4, max_value=4))
def test_a_code_fits_near_its_time_and_never_again(secret, away):
    step = totp.step_of(NOW) + away
    code = totp.code_at(secret, step)
    found = totp.matching_step(secret, code, after=0, now=NOW)
    if abs(away) <= totp.DRIFT_STEPS:
        assert found is not None
        assert totp.matching_step(secret, code, after=found, now=NOW) in (None, found + 1, found + 2)
    elif found is not None:  # one in some hundred thousand: another step near by has the same six digits
        assert totp.code_at(secret, found) == code


def test_an_app_is_asked_for_once_its_first_code_was_right(site, ada):
    here = first_step(site)
    assert isinstance(here, SignedIn)
    actor = ada(here.secret)
    begun = second.begin_app(site, actor, now=NOW)
    with pytest.raises(SecondFactorRefused):
        second.finish_app(site, actor, sealed=begun.sealed, code="000000", name="x", browser=HOME, now=NOW)
    assert isinstance(first_step(site), SignedIn)
    secret, codes = set_up_app(site, actor)
    assert len(set(codes)) == second.N_RECOVERY_CODES
    waiting = first_step(site)
    assert isinstance(waiting, SecondStep)
    later = NOW + timedelta(seconds=60)
    code = totp.code_at(secret, totp.step_of(later))
    done = second_step(site, waiting.ticket, Shown(code=f"{code[:3]} {code[3:]}"), now=later)
    assert ada(done.secret, later).name == "ada"
    (session,) = [s for s in site.db.read(sessions.list_sessions, actor, now=later) if s.how != "password"]
    assert (session.how, session.address) == ("password+totp", HOME.address)


def test_a_code_opens_once_and_so_does_a_recovery_code(site, ada):
    secret, codes = set_up_app(site, ada(first_step(site).secret))
    used_at_setup = totp.code_at(secret, totp.step_of(NOW))
    ticket = first_step(site).ticket
    for shown in (Shown(code=used_at_setup), Shown(code="12"), Shown(), Shown(code=codes[0][:-1])):
        with pytest.raises(SecondFactorRefused):
            second_step(site, ticket, shown)
    later = NOW + timedelta(seconds=30)
    shown = Shown(code=totp.code_at(secret, totp.step_of(later)))
    assert second_step(site, ticket, shown, now=later)
    with pytest.raises(SecondFactorRefused):
        second_step(site, ticket, shown, now=later)
    assert second_step(site, ticket, Shown(code=codes[0].upper()), now=later)
    with pytest.raises(SecondFactorRefused):
        second_step(site, ticket, Shown(code=codes[0]), now=later)


def test_an_app_that_is_sent_twice_is_added_once(site, ada):
    actor = ada(first_step(site).secret)
    begun = second.begin_app(site, actor, now=NOW)
    sent = {"sealed": begun.sealed, "code": totp.code_at(begun.secret, totp.step_of(NOW)), "name": "phone"}
    assert second.finish_app(site, actor, **sent, browser=HOME, now=NOW)
    with pytest.raises(BadSecondFactor):
        second.finish_app(site, actor, **sent, browser=HOME, now=NOW)
    assert len(site.db.read(second.overview, actor).factors) == 1
    later = NOW + timedelta(minutes=2)
    shown, ticket = Shown(code=totp.code_at(begun.secret, totp.step_of(later))), first_step(site, now=later).ticket
    assert second_step(site, ticket, shown, now=later)
    with pytest.raises(SecondFactorRefused):
        second_step(site, ticket, shown, now=later)


def test_a_recovery_code_is_its_persons_alone(site, ada, person):
    _, codes = set_up_app(site, ada(first_step(site).secret))
    person("bob", password_hash=HASHED)
    bob = first_step(site, name="bob")
    set_up_app(site, ada(bob.secret))
    with pytest.raises(SecondFactorRefused):
        second_step(site, first_step(site, name="bob").ticket, Shown(code=codes[0]))
    assert second_step(site, first_step(site).ticket, Shown(code=codes[0]))


def test_guessing_the_second_step_ends_soon_from_wherever_it_comes(site, ada):
    _, codes = set_up_app(site, ada(first_step(site).secret))
    ticket = first_step(site).ticket
    for n in range(second.WINDOW_TRIES):
        with pytest.raises(SecondFactorRefused):
            second_step(site, ticket, Shown(code=f"{n:06}"), browser=Browser(f"198.51.100.{n}"))
    with pytest.raises(TooManyAttempts):
        second_step(site, ticket, Shown(code=codes[0]))
    later = NOW + second.WINDOW + timedelta(seconds=1)
    assert second_step(site, first_step(site, now=later).ticket, Shown(code=codes[0]), now=later)


def test_a_days_guesses_are_few(site, ada):
    set_up_app(site, ada(first_step(site).secret))
    person = site.db.read(accounts.get_account, "ada")
    tried, moment = 0, NOW
    while moment < NOW + second.DAY:
        passed = site.db.write(sessions.enter, site.secret, person, how="password", browser=HOME, now=moment)
        try:
            second_step(site, passed.ticket, Shown(code="000000"), now=moment)
        except SecondFactorRefused:
            tried += 1
        except TooManyAttempts:
            moment += second.WINDOW + timedelta(seconds=1)
    assert tried == second.DAY_TRIES


def test_a_days_guesses_are_few_though_the_person_comes_in_meanwhile(site, ada):
    secret, _ = set_up_app(site, ada(first_step(site).secret))
    moment, n_at_once = NOW, second.DAY_TRIES // 5
    for _ in range(5):
        moment += second.WINDOW + timedelta(seconds=1)
        ticket = first_step(site, now=moment).ticket
        right = Shown(code=totp.code_at(secret, totp.step_of(moment)))
        second_step(site, ticket, right, now=moment)
        for _ in range(n_at_once):
            with pytest.raises(SecondFactorRefused):
                second_step(site, ticket, Shown(code="000000"), now=moment)
    moment += second.WINDOW + timedelta(seconds=1)
    ticket = first_step(site, now=moment).ticket
    with pytest.raises(TooManyAttempts):
        second_step(site, ticket, Shown(code="000000"), now=moment)


def test_the_ticket_ends_with_time_with_a_new_password_and_when_bent(site, ada):
    secret, _ = set_up_app(site, ada(first_step(site).secret))
    ticket = first_step(site).ticket
    later = NOW + sessions.TICKET_LIFE
    shown = Shown(code=totp.code_at(secret, totp.step_of(later)))
    with pytest.raises(SecondStepOver):
        second_step(site, ticket, shown, now=later)
    other = sealing.sign_ticket(b"x" * 32, "second-step", {"account": 1}, life=timedelta(hours=1), now=NOW)
    elsewhere = sealing.sign_ticket(site.secret, "passkey", {"account": 1}, life=timedelta(hours=1), now=NOW)
    for bent in ("", "x", ticket[:-2], f"{ticket}x", "." + ticket, other, elsewhere):
        with pytest.raises(SecondStepOver):
            second_step(site, bent, shown)
    site.db.write(people.set_password, SYSTEM, "ada", password_hash=passwords.hash_password("another one"), now=NOW)
    with pytest.raises(SecondStepOver):
        second_step(site, ticket, shown)


def test_a_link_for_a_new_password_does_not_stand_for_the_second_factor(site, ada):
    set_up_app(site, ada(first_step(site).secret))
    link = site.db.write(links.make_reset_link, SYSTEM, "ada", now=NOW).removeprefix("/link/")
    entered = people.reset_password(site, ANONYMOUS, link_secret=link, password="a new long one", browser=AWAY, now=NOW)
    assert isinstance(entered, SecondStep)


def test_the_apps_secret_is_not_to_be_read_in_the_database(site, ada):
    secret, _ = set_up_app(site, ada(first_step(site).secret))
    (row,) = site.db.read(lambda tx: tx.execute(second_factor.select()).all())
    assert secret.hex() not in str(row)
    assert totp.spelled(secret).replace(" ", "") not in str(row)
    assert sealing.unseal(site.secret, "totp", row.sealed, bound_to=str(row.account_id)) == secret
    assert sealing.unseal(site.secret, "totp", row.sealed, bound_to="2") is None  # copied to another account
    assert sealing.unseal(b"y" * 32, "totp", row.sealed, bound_to=str(row.account_id)) is None


@given(st.text(max_size=200))
def test_no_text_is_a_ticket_or_a_sealed_secret(text):
    assert sealing.open_ticket(b"s" * 32, "p", text, now=NOW) is None
    assert sealing.unseal(b"s" * 32, "p", text, bound_to="") is None


# ---- passkeys


def test_a_passkey_stands_for_the_password_or_for_the_second_step(site, ada):
    key, codes = add_passkey(site, ada(first_step(site).secret))
    assert len(codes) == second.N_RECOVERY_CODES
    alone = sessions.sign_in_by_passkey(site, ANONYMOUS, answered(site, key), browser=HOME, now=NOW)
    assert ada(alone.secret).name == "ada"
    ticket = first_step(site).ticket
    found = sessions.waiting(site, ticket, now=NOW)
    assert found.passkeys == (("localhost", key.credential_id),)
    done = second_step(site, ticket, answered(site, key, known=(key.credential_id,)))
    assert ada(done.secret).name == "ada"


def test_a_key_that_verifies_nobody_is_a_second_step_and_no_more(site, ada):
    key, _ = add_passkey(
        site, ada(first_step(site).secret), key=Authenticator(PARTY.origin, PARTY.rp_id, verifies=False)
    )
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, answered(site, key), browser=HOME, now=NOW)
    assert second_step(site, first_step(site).ticket, answered(site, key))


def test_a_passkey_of_another_origin_site_or_page_is_refused(site, ada):
    actor = ada(first_step(site).secret)
    bent = (
        Authenticator("http://localhost:9000", PARTY.rp_id),
        Authenticator("https://evil.example", PARTY.rp_id),
        Authenticator(PARTY.origin, "evil.example"),
    )
    for key in bent:
        with pytest.raises(PasskeyRefused):
            add_passkey(site, actor, key=key)
    key, _ = add_passkey(site, actor)
    for origin, rp_id in (("http://localhost:9000", "localhost"), (PARTY.origin, "evil.example")):
        copy = Authenticator(origin, rp_id, credential_id=key.credential_id, key=key.key, count=key.count)
        with pytest.raises(PasskeyRefused):
            sessions.sign_in_by_passkey(site, ANONYMOUS, answered(site, copy), browser=HOME, now=NOW)
    forger = Authenticator(PARTY.origin, PARTY.rp_id, credential_id=key.credential_id, count=9)
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, answered(site, forger), browser=HOME, now=NOW)
    unknown = Authenticator(PARTY.origin, PARTY.rp_id)
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, answered(site, unknown), browser=HOME, now=NOW)
    other_party = Party("hub.example", "https://hub.example")
    shown = answered(site, key, party=other_party)
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=HOME, now=NOW)


def test_an_answer_is_taken_once_and_a_copied_key_is_noticed(site, ada):
    key, _ = add_passkey(site, ada(first_step(site).secret))
    shown = answered(site, key)
    assert sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=HOME, now=NOW)
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=AWAY, now=NOW)
    with pytest.raises(PasskeyRefused):  # its counter did not go on
        sessions.sign_in_by_passkey(site, ANONYMOUS, answered(site, key, counts=False), browser=HOME, now=NOW)
    uncounted = Authenticator(PARTY.origin, PARTY.rp_id)  # as synced passkeys are: the counter stays at zero
    add_passkey(site, ada(second_step(site, first_step(site).ticket, answered(site, key)).secret), key=uncounted)
    shown = answered(site, uncounted, counts=False)
    assert sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=HOME, now=NOW)
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=HOME, now=NOW)


def test_the_page_that_asks_may_be_old_but_not_very(site, ada):
    key, _ = add_passkey(site, ada(first_step(site).secret))
    shown = answered(site, key)
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=HOME, now=NOW + second.CHALLENGE_LIFE)
    entered = sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=HOME, now=NOW)
    begun = second.begin_passkey(site, ada(entered.secret), PARTY, now=NOW)
    bent = Shown(answer=key.get(begun.options), challenge=begun.challenge, party=PARTY)
    with pytest.raises(PasskeyRefused):  # a page for setting up is none for signing in
        sessions.sign_in_by_passkey(site, ANONYMOUS, bent, browser=HOME, now=NOW)


def test_a_suspended_persons_passkey_opens_nothing(site, ada):
    key, _ = add_passkey(site, ada(first_step(site).secret))
    ticket = first_step(site).ticket
    site.db.write(accounts.create_person, SYSTEM, "boss", password_hash=None, is_site_admin=True, now=NOW)
    site.db.write(accounts.suspend, SYSTEM, "ada", now=NOW)
    with pytest.raises(SignInFailed):
        sessions.sign_in_by_passkey(site, ANONYMOUS, answered(site, key), browser=HOME, now=NOW)
    with pytest.raises(SignInFailed):
        second_step(site, ticket, answered(site, key))


def test_a_passkey_is_registered_once(site, ada, person):
    key, _ = add_passkey(site, ada(first_step(site).secret))
    person("bob", password_hash=HASHED)
    with pytest.raises(PasskeyRefused):
        add_passkey(site, ada(first_step(site, name="bob").secret), key=key)


@pytest.mark.parametrize(
    "answer",
    ["", "x", "null", "[]", "{}", '{"rawId": 1}', '{"rawId": "%%"}', '{"rawId": "AAAA", "id": "AAAA"}', "[" * 9000],
)
def test_strangers_bytes_are_refused(site, ada, answer):
    actor = ada(first_step(site).secret)
    asked = second.begin_passkey(site, actor, PARTY, now=NOW)
    shown = Shown(answer=answer, challenge=asked.challenge, party=PARTY)
    with pytest.raises(PasskeyRefused):
        second.finish_passkey(site, actor, shown, name="x", browser=HOME, now=NOW)
    asked = second.ask_for_passkey(site, PARTY, known=(), now=NOW)
    shown = Shown(answer=answer, challenge=asked.challenge, party=PARTY)
    with pytest.raises(PasskeyRefused):
        sessions.sign_in_by_passkey(site, ANONYMOUS, shown, browser=HOME, now=NOW)


@given(st.data())
def test_a_bent_answer_proves_nothing(data):
    """Any one part of a right answer replaced by any bytes."""
    key, challenge = Authenticator(PARTY.origin, PARTY.rp_id), passkeys.new_challenge()
    options = passkeys.creation_options(
        PARTY, challenge, handle=b"h" * 32, account="ada", site_name="Headwater", known=()
    )
    answer = json.loads(key.create(options))
    part = data.draw(st.sampled_from(["clientDataJSON", "attestationObject"]))
    right = answer["response"][part]
    answer["response"][part] = text_of(data.draw(st.binary(max_size=300)))
    if answer["response"][part] != right:
        with pytest.raises(PasskeyRefused):
            passkeys.verify_new(PARTY, challenge, json.dumps(answer))


def test_passkeys_are_for_sites_with_a_name_and_encryption():
    def party(base_url, host):
        found = passkeys.party_for(base_url, host)
        return None if found is None else (found.rp_id, found.origin)

    assert party("https://hub.example", "hub.example") == ("hub.example", "https://hub.example")
    assert party("https://hub.example:8443", "evil.example") == ("hub.example", "https://hub.example:8443")
    assert party("http://127.0.0.1:8000", "localhost:8000") == ("localhost", "http://localhost:8000")
    assert party("http://localhost:8000", "127.0.0.1:8000") == ("localhost", "http://localhost:8000")
    assert party("http://127.0.0.1:8000", "127.0.0.1:8000") is None
    assert party("https://192.0.2.1", "192.0.2.1") is None
    assert party("https://[2001:db8::1]", "[2001:db8::1]") is None
    assert party("http://hub.example", "hub.example") is None
    assert party("https://hub.example:443", "") == ("hub.example", "https://hub.example")
    assert party("http://127.0.0.1:8000", "localhost:80") == ("localhost", "http://localhost")
    for host in (
        "localhost.evil.example",
        "evil.example:localhost",
        "[",
        "localhost:x",
        "localhost@evil.example",
        "\0",
    ):
        assert party("http://127.0.0.1:8000", host) is None
    assert party("https://hub.example", "localhost") == ("hub.example", "https://hub.example")


# ---- taking away


def test_the_last_factor_takes_the_recovery_codes_with_it(site, ada):
    actor = ada(first_step(site).secret)
    set_up_app(site, actor)
    _, codes = add_passkey(site, actor)
    assert codes == []  # there are some already
    app, passkey = site.db.read(second.overview, actor).factors
    site.db.write(second.remove, actor, app.id, browser=HOME, now=NOW)
    assert site.db.read(second.overview, actor).n_codes == second.N_RECOVERY_CODES
    assert isinstance(first_step(site), SecondStep)
    site.db.write(second.remove, actor, passkey.id, browser=HOME, now=NOW)
    assert site.db.read(second.overview, actor).n_codes == 0
    assert isinstance(first_step(site), SignedIn)
    with pytest.raises(BadSecondFactor):
        site.db.write(second.renew_codes, actor, browser=HOME, now=NOW)


def test_nobody_takes_away_somebody_elses(site, ada, person):
    actor = ada(first_step(site).secret)
    set_up_app(site, actor)
    (app,) = site.db.read(second.overview, actor).factors
    site.db.write(second.remove, person("eve", admin=True), app.id, browser=AWAY, now=NOW)
    assert len(site.db.read(second.overview, actor).factors) == 1
    with pytest.raises(accounts.NotAllowed):
        site.db.write(people.reset_second_factors, person("bob"), "ada", now=NOW)


def test_the_operator_helps_who_lost_them_all(site, ada):
    here = first_step(site)
    set_up_app(site, ada(here.secret))
    assert site.db.write(people.reset_second_factors, SYSTEM, "ada", now=NOW) == 1
    assert site.db.read(identify.identify_session, here.secret, now=NOW) is None
    again = first_step(site)
    assert isinstance(again, SignedIn)
    kinds = [event.kind for event in site.db.read(journal.list_own, ada(again.secret)).items]
    assert kinds[:2] == ["signed_in", "factors_reset"]


# ---- a fresh proof


def acts(site):
    """What a borrowed browser must not do, as acts of (tx or site, actor, now)."""
    one, two, three = (RepoName("ada", name) for name in ("one", "two", "three"))
    return {
        "large files": lambda a, n: delete_large_files(
            site, a, RepoKind.MODEL, one, [Sha256("0" * 64)], rewrite_history=False, now=n
        ),
        "delete": lambda a, n: site.db.write(repos.delete_repository, a, RepoKind.MODEL, one, now=n),
        "move": lambda a, n: site.db.write(repos.move_repository, a, RepoKind.MODEL, two, three, now=n),
        "token": lambda a, n: site.db.write(tokens.create_token, a, name="t", role="read", now=n),
        "app": lambda a, n: second.begin_app(site, a, now=n),
        "codes": lambda a, n: site.db.write(second.renew_codes, a, browser=HOME, now=n),
        "passkey": lambda a, n: add_passkey(site, a, now=n),
        "admin": lambda a, n: site.db.write(people.set_site_admin, a, "bob", is_admin=True, now=n),
        "link": lambda a, n: site.db.write(links.make_reset_link, a, "bob", now=n),
        "device": lambda a, n: devices.answer(site, a, "BCDF-GHJK", approve=True, address="192.0.2.1", now=n),
    }


def test_acts_that_cannot_be_undone_ask_for_a_fresh_proof(site, person):
    ada = person("ada", admin=True, password_hash=HASHED)
    person("bob")
    for name in ("one", "two"):
        repos.create_repository(site, ada, RepoKind.MODEL, RepoName("ada", name))
    secret = first_step(site).secret
    stale = site.db.read(identify.identify_session, secret, now=NOW).actor
    later = NOW + FRESH
    for name, act in acts(site).items():
        with pytest.raises(ProofNeeded) as refusal:
            act(stale, later)
        assert refusal.value.ways == {"password"}, name
        with pytest.raises(ProofNeeded):
            act(stale, NOW - timedelta(seconds=1))  # a clock that went back proves nothing
    new = sessions.prove(site, stale, password=PASSWORD, shown=Shown(), browser=HOME, now=later)
    assert site.db.read(identify.identify_session, secret, now=later) is None  # a copy of the cookie stays behind
    fresh = site.db.read(identify.identify_session, new, now=later).actor
    for name, act in acts(site).items():
        if name == "device":
            with pytest.raises(CodeNotFound):  # no program waits
                act(fresh, later)
        elif name == "codes":
            with pytest.raises(BadSecondFactor):  # there is nothing to recover from
                act(fresh, later)
        else:
            act(fresh, later)


def test_programs_with_a_token_are_not_asked(site, person):
    ada = with_token(person("ada"), "admin")
    assert site.db.write(tokens.create_token, ada, name="t", role="read", now=NOW).secret


def test_a_token_makes_nothing_that_outlives_it(site, ada):
    browser = ada(first_step(site).secret)
    set_up_app(site, browser)
    (app,) = site.db.read(second.overview, browser).factors
    ends = NOW + timedelta(hours=1)
    made = site.db.write(tokens.create_token, browser, name="ci", role="admin", expires_at=ends, now=NOW)
    program = site.db.read(identify.identify_token, made.secret, now=NOW).actor
    for act in (
        lambda: second.begin_app(site, program, now=NOW),
        lambda: add_passkey(site, program),
        lambda: site.db.write(second.remove, program, app.id, browser=HOME, now=NOW),
        lambda: site.db.write(second.renew_codes, program, browser=HOME, now=NOW),
        lambda: devices.answer(site, program, "BCDF-GHJK", approve=True, address="192.0.2.1", now=NOW),
    ):
        with pytest.raises(accounts.NotAllowed):
            act()
    key = Authenticator(PARTY.origin, PARTY.rp_id)  # begun in the browser, finished with the token
    asked = second.begin_passkey(site, browser, PARTY, now=NOW)
    shown = Shown(answer=key.create(asked.options), challenge=asked.challenge, party=PARTY)
    begun = second.begin_app(site, browser, now=NOW)
    code = totp.code_at(begun.secret, totp.step_of(NOW))
    with pytest.raises(accounts.NotAllowed):
        second.finish_passkey(site, program, shown, name="key", browser=HOME, now=NOW)
    with pytest.raises(accounts.NotAllowed):
        second.finish_app(site, program, sealed=begun.sealed, code=code, name="x", browser=HOME, now=NOW)
    for asked_for in (None, ends + timedelta(days=1)):
        child = site.db.write(tokens.create_token, program, name="x", role="write", expires_at=asked_for, now=NOW)
        assert child.info.expires_at == ends
    soon = site.db.write(
        tokens.create_token, program, name="x", role="write", expires_at=NOW + timedelta(minutes=1), now=NOW
    )
    assert soon.info.expires_at == NOW + timedelta(minutes=1)
    narrow = with_token(browser, "fine", Grant("admin", account_id=browser.account_id))
    with pytest.raises(accounts.NotAllowed):
        site.db.write(tokens.create_token, narrow, name="x", role="admin", now=NOW)


def test_a_token_sets_no_first_password(site, person):
    program = with_token(person("bob"), "admin")
    with pytest.raises(accounts.NotAllowed):
        people.change_password(site, program, old="", new=PASSWORD, browser=HOME, keep_session=None, now=NOW)


def test_the_second_factor_is_what_is_asked_where_there_is_one(site, ada):
    actor = ada(first_step(site).secret)
    secret, _ = set_up_app(site, actor)
    later = NOW + FRESH

    def prove(**shown):
        password = shown.pop("password", "")
        return sessions.prove(site, actor, password=password, shown=Shown(**shown), browser=HOME, now=later)

    with pytest.raises(ProofNeeded) as refusal:
        site.db.write(tokens.create_token, actor, name="t", role="read", now=later)
    assert refusal.value.ways == {"totp", "recovery"}
    with pytest.raises(SecondFactorRefused):
        prove(password=PASSWORD)
    with pytest.raises(SecondFactorRefused):
        prove(code="000000")
    fresh = ada(prove(code=totp.code_at(secret, totp.step_of(later))), later)
    assert site.db.write(tokens.create_token, fresh, name="t", role="read", now=later)
    with pytest.raises(ProofNeeded):
        site.db.write(tokens.create_token, fresh, name="t", role="read", now=later + FRESH)


def test_a_recovery_code_shown_as_a_proof_stands_in_the_log_as_an_alert(site, ada):
    actor = ada(first_step(site).secret)
    secret, codes = set_up_app(site, actor)
    later = NOW + FRESH
    shown = Shown(code=totp.code_at(secret, totp.step_of(later)))
    actor = ada(sessions.prove(site, actor, shown=shown, browser=HOME, now=later), later)
    assert not any(event.is_alert for event in events(site, actor))
    sessions.prove(site, actor, shown=Shown(code=codes[0]), browser=AWAY, now=later)
    line = events(site, actor)[0]
    assert (line.kind, line.facts, line.address, line.is_alert) == (
        "confirmed",
        {"how": "recovery"},
        AWAY.address,
        True,
    )


def test_a_wrong_password_is_no_proof_and_is_counted(site, ada):
    actor = ada(first_step(site).secret)
    for _ in range(sessions.PAIR_LIMIT):
        with pytest.raises(SignInFailed):
            sessions.prove(site, actor, password="wrong", shown=Shown(), browser=HOME, now=NOW)
    with pytest.raises(TooManyAttempts):
        sessions.prove(site, actor, password=PASSWORD, shown=Shown(), browser=HOME, now=NOW)


def test_a_password_that_was_replaced_while_it_was_looked_at_opens_nothing(site, ada, monkeypatch):
    actor = ada(first_step(site).secret)
    real, new = passwords.matches, iter(("another calm heron", "a third calm heron", "a fourth calm heron"))

    def replaced_meanwhile(stored, given):
        fits = real(stored, given)
        site.db.write(people.set_password, SYSTEM, "ada", password_hash=passwords.hash_password(next(new)), now=NOW)
        return fits

    monkeypatch.setattr(passwords, "matches", replaced_meanwhile)
    with pytest.raises(SignInFailed):
        first_step(site)
    with pytest.raises(SignInFailed):
        sessions.prove(site, actor, password="another calm heron", shown=Shown(), browser=HOME, now=NOW)
    with pytest.raises(SignInFailed):
        people.change_password(
            site, actor, old="a third calm heron", new="mine again now", browser=HOME, keep_session=None, now=NOW
        )
    monkeypatch.undo()
    assert first_step(site, password="a fourth calm heron")


# ---- the account's own log


def events(site, actor):
    return site.db.read(journal.list_own, actor).items


def test_a_sign_in_from_a_new_place_is_an_alert_and_the_first_is_not(site, ada):
    actor = ada(first_step(site).secret)
    first_step(site)
    entered = first_step(site, browser=AWAY)
    assert entered.n_alerts == 1
    assert first_step(site, browser=AWAY).n_alerts == 1
    found = events(site, actor)
    assert [event.is_alert for event in found] == [False, True, False, False]
    assert (found[1].address, found[1].facts) == (AWAY.address, {"how": "password", "new_place": True})
    site.db.write(journal.mark_seen, actor, up_to=found[0].id, now=NOW)
    assert first_step(site, browser=AWAY).n_alerts == 0


def test_refusals_are_summed_up_and_a_wrong_second_step_is_an_alert(site, ada):
    actor = ada(first_step(site).secret)
    for n in range(3):
        with pytest.raises(SignInFailed):
            first_step(site, password="wrong", browser=AWAY, now=NOW + timedelta(minutes=n))
    set_up_app(site, actor)
    ticket = first_step(site).ticket
    for n in range(2):
        with pytest.raises(SecondFactorRefused):
            second_step(site, ticket, Shown(code="1"), browser=AWAY, now=NOW + timedelta(minutes=n))
    site.db.write(lambda tx: None)  # what was submitted aside was written before this
    found = {event.kind: event for event in events(site, actor)}
    assert (found["refused_password"].n, found["refused_password"].is_alert) == (3, False)
    assert (found["refused_second"].n, found["refused_second"].is_alert) == (2, True)


def test_the_log_says_what_was_done_to_credentials_and_is_ones_own(site, ada, person):
    actor = ada(first_step(site).secret)
    made = site.db.write(tokens.create_token, actor, name="laptop", role="read", now=NOW)
    site.db.write(tokens.revoke_token, actor, made.info.id, now=NOW)
    set_up_app(site, actor)
    people.change_password(
        site, actor, old=PASSWORD, new="a new long one", browser=HOME, keep_session=actor.session_id, now=NOW
    )
    kinds = [event.kind for event in events(site, actor)]
    assert kinds == ["password_changed", "recovery_made", "factor_added", "token_revoked", "token_made", "signed_in"]
    assert made.secret not in str(events(site, actor))
    assert events(site, person("eve", admin=True)) == []


def test_a_new_password_gives_this_browser_a_new_cookie_and_ends_the_others(site, ada):
    here, there = first_step(site), first_step(site)
    actor = ada(here.secret)
    renewed = people.change_password(
        site, actor, old=PASSWORD, new="a new long one", browser=HOME, keep_session=actor.session_id, now=NOW
    )
    assert ada(renewed).name == "ada"
    for secret in (here.secret, there.secret):
        assert site.db.read(identify.identify_session, secret, now=NOW) is None
