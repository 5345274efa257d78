"""Signing in through another site, against a real issuer on this machine."""

from __future__ import annotations

import time
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from sqlalchemy import update

from headwater import accounts
from headwater.accounts import NotAllowed, NotSignedIn, OidcSettings, ProofNeeded, SignUpPolicy, oidc
from headwater.accounts.errors import BadSetting, OidcProofRefused, OidcRefused, OidcUnavailable, SignInFailed
from headwater.accounts.passwords import hash_password
from headwater.accounts.service import federated, identify, journal, links, people, tokens
from headwater.accounts.service.freshness import FRESH
from headwater.accounts.service.sessions import Browser
from headwater.accounts.tables import session
from headwater.assembly import build_site, prepare_data
from headwater.kernel import ANONYMOUS, SYSTEM, utcnow
from tests import growth
from tests.servers.issuer import Issuer

from .conftest import with_token

HOME = Browser("192.0.2.7", "Firefox")


@pytest.fixture(scope="module")
def issuer():
    with Issuer() as running:
        yield running


@pytest.fixture(autouse=True)
def _honest(issuer):
    """Each test begins with an issuer that says the truth about Mei."""
    issuer.person = {"sub": "u-1", "preferred_username": "mei", "name": "Mei Lin", "email": "m@x.org"}
    issuer.twist, issuer.userinfo_twist, issuer.algorithm = {}, {}, "RS256"
    issuer.claims_only_in_userinfo, issuer.answer_issuer = False, None
    issuer.signed_in_at, issuer.asks_nobody = int(time.time()), False


@pytest.fixture
def site(tmp_path, issuer):
    """A site that lets everyone in whom the issuer vouches for."""
    settings = growth.settings_of(tmp_path / "data", OidcSettings(**issuer.settings(creates="always")))
    prepare_data(tmp_path / "data", settings)
    site = build_site(tmp_path / "data", settings, base_url="http://hub.test")
    yield site
    site.db.close()


def go(site, *, actor=ANONYMOUS, now=None, change=None, cookie=None, **begin):
    """The whole journey of one browser; ``change`` bends the query it comes back with."""
    begun = federated.begin(site, actor, next_url="/models", now=now or utcnow(), **begin)
    answer = httpx.get(begun.url, trust_env=False)
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == "http://hub.test/login/oidc/callback"
    query = {**dict(parse_qsl(back.query)), **(change or {})}
    return federated.finish(
        site, actor, query=query, cookie=begun.cookie if cookie is None else cookie, browser=HOME, now=now or utcnow()
    )


def test_someone_new_gets_an_account_and_comes_back_to_it(site, issuer):
    first = go(site)
    assert (first.is_new, first.next_url) == (True, "/models")
    account = first.signed_in.account
    assert (account.name, account.full_name, account.email) == ("mei", "Mei Lin", "m@x.org")
    actor = site.db.read(identify.identify_session, first.signed_in.secret, now=utcnow()).actor
    assert actor.account_id == account.id
    issuer.person = {"sub": "u-1", "preferred_username": "renamed there"}
    again = go(site)
    assert (again.is_new, again.signed_in.account.id) == (False, account.id)


def test_the_address_asks_for_what_the_protocol_wants(site, issuer):
    begun = federated.begin(site, ANONYMOUS, next_url="/", now=utcnow())
    query = dict(parse_qsl(urlsplit(begun.url).query))
    assert begun.url.startswith(f"{issuer.url}/authorize?")
    assert query["scope"] == "openid profile email"
    assert query["code_challenge_method"] == "S256"
    assert len({query["state"], query["nonce"], query["code_challenge"]}) == 3
    assert issuer.client_secret not in begun.url


def test_claims_may_come_from_userinfo_but_only_of_the_same_person(site, issuer):
    issuer.claims_only_in_userinfo = True
    assert go(site).signed_in.account.name == "mei"
    issuer.userinfo_twist = {"sub": "u-2"}
    with pytest.raises(OidcRefused):
        go(site)


@pytest.mark.parametrize(
    ("twist", "why"),
    [
        ({"nonce": "another"}, "another attempt"),
        ({"nonce": None}, "another attempt"),
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": "soon"}, "expired"),
        ({"iat": int(time.time()) + 3600}, "future"),
        ({"aud": "another-site"}, "another site"),
        ({"aud": ["headwater-tests", "another-site"]}, "another site"),
        ({"azp": "another-site"}, "another site"),
        ({"iss": "http://127.0.0.1:1"}, "another issuer"),
        ({"sub": None}, "nobody"),
        ({"sub": ""}, "nobody"),
        ({"sub": 7}, "nobody"),
    ],
)
def test_an_id_token_that_proves_nothing_is_refused(site, issuer, twist, why):
    issuer.twist = twist
    with pytest.raises(OidcRefused, match=why):
        go(site)
    assert site.db.read(accounts.find_account, "mei") is None


@pytest.mark.parametrize("algorithm", ["none", "HS256", "other key"])
def test_an_id_token_that_the_issuer_did_not_sign_is_refused(site, issuer, algorithm):
    issuer.algorithm = algorithm
    with pytest.raises(OidcRefused, match="not signed"):
        go(site)


def test_two_audiences_are_fine_when_it_says_it_was_made_for_us(site, issuer):
    issuer.twist = {"aud": ["headwater-tests", "another-site"], "azp": "headwater-tests"}
    assert go(site).signed_in.account.name == "mei"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "another"}, "another browser"),
        ({"state": ""}, "another browser"),
        ({"error": "access_denied"}, "access_denied"),
        ({"code": ""}, "no code"),
        ({"code": "made up"}, "invalid_grant"),
        ({"iss": "http://127.0.0.1:1"}, "another issuer"),
    ],
)
def test_an_answer_that_is_not_ours_is_refused(site, change, why):
    with pytest.raises(OidcRefused, match=why):
        go(site, change=change)


def test_a_code_works_once_and_only_in_the_browser_that_asked(site):
    begun, other = (federated.begin(site, ANONYMOUS, next_url="/", now=utcnow()) for _ in range(2))
    query = dict(parse_qsl(urlsplit(httpx.get(begun.url, trust_env=False).headers["location"]).query))
    for cookie in ("", "x.y", begun.cookie[:-1] + ("0" if begun.cookie[-1] != "0" else "1"), other.cookie):
        with pytest.raises(OidcRefused):
            federated.finish(site, ANONYMOUS, query=query, cookie=cookie, browser=HOME, now=utcnow())
    late = utcnow() + timedelta(seconds=oidc.JOURNEY_S + 5)
    with pytest.raises(OidcRefused, match="too long"):
        federated.finish(site, ANONYMOUS, query=query, cookie=begun.cookie, browser=HOME, now=late)
    federated.finish(site, ANONYMOUS, query=query, cookie=begun.cookie, browser=HOME, now=utcnow())
    with pytest.raises(OidcRefused, match="invalid_grant"):
        federated.finish(site, ANONYMOUS, query=query, cookie=begun.cookie, browser=HOME, now=utcnow())


def test_new_keys_of_the_issuer_are_found(site, issuer, monkeypatch):
    go(site)
    monkeypatch.setattr(oidc, "KEYS_AGAIN_S", 0)
    issuer.rotate_key()
    assert not go(site).is_new


def test_keys_and_description_are_asked_for_once(site, issuer):
    go(site)
    issuer.asked.clear()
    go(site)
    assert issuer.asked == ["/authorize", "/token"]


def test_a_name_in_use_or_unfit_becomes_another(site, issuer):
    site.db.write(accounts.create_person, SYSTEM, "Mei", password_hash=None, now=utcnow())
    assert go(site).signed_in.account.name == "mei-2"
    wishes = {"admin": "person-admin", "李梅": "person", "a.b@example.org": "a.b", "  x  y ": "x-y", "": "person-2"}
    for n, (wish, name) in enumerate(wishes.items()):
        issuer.person = {"sub": f"w-{n}", "preferred_username": wish, "email": "not an address"}
        assert go(site).signed_in.account.name == name


def test_an_account_of_the_same_name_or_address_is_not_taken_over(site, issuer):
    site.db.write(accounts.create_person, SYSTEM, "mei", password_hash=None, email="m@x.org", now=utcnow())
    assert go(site).signed_in.account.name == "mei-2"


def test_one_ties_the_other_site_to_ones_own_account(site, person, issuer):
    bob, eve = person("bob", password_hash=hash_password("four grey stones")), person("eve")
    done = go(site, actor=bob, adds_to_account=True)
    assert (done.is_new, done.signed_in.account.name) == (False, "bob")
    assert site.db.read(federated.list_identities, bob) == [issuer.url]
    assert go(site).signed_in.account.name == "bob"
    with pytest.raises(OidcRefused, match="belongs to another account"):
        go(site, actor=eve, adds_to_account=True)
    with pytest.raises(NotSignedIn):
        go(site, adds_to_account=True)
    with pytest.raises(NotAllowed):
        go(site, actor=with_token(bob, "write"), adds_to_account=True)
    federated.remove_identity(site, bob, now=utcnow())
    assert go(site).signed_in.account.name == "mei"


def test_who_has_no_password_keeps_the_only_way_in(site):
    from headwater.kernel import Actor

    account = go(site).signed_in.account
    with pytest.raises(BadSetting):
        federated.remove_identity(site, Actor(account.id, account.name), now=utcnow())


def test_coming_back_as_someone_else_ties_nothing(site, person):
    bob, eve = person("bob"), person("eve")
    begun = federated.begin(site, bob, next_url="/", adds_to_account=True, now=utcnow())
    query = dict(parse_qsl(urlsplit(httpx.get(begun.url, trust_env=False).headers["location"]).query))
    with pytest.raises(OidcRefused, match="someone else"):
        federated.finish(site, eve, query=query, cookie=begun.cookie, browser=HOME, now=utcnow())


def test_the_suspended_stay_out(site, person):
    account = go(site).signed_in.account
    person("boss", admin=True)
    site.db.write(people.suspend, SYSTEM, account.name, now=utcnow())
    with pytest.raises(SignInFailed):
        go(site)


@pytest.mark.parametrize(
    ("creates", "policy", "comes_in"),
    [("never", SignUpPolicy.OPEN, False), ("policy", SignUpPolicy.CLOSED, False), ("policy", SignUpPolicy.OPEN, True)],
)
def test_whether_someone_new_comes_in_is_the_operators_choice(tmp_path, issuer, creates, policy, comes_in):
    settings = growth.settings_of(tmp_path / "data", OidcSettings(**issuer.settings(creates=creates)))
    prepare_data(tmp_path / "data", settings)
    site = build_site(tmp_path / "data", settings, base_url="http://hub.test")
    site.db.write(accounts.set_sign_up_policy, SYSTEM, policy, now=utcnow())
    if comes_in:
        assert go(site).is_new
    else:
        with pytest.raises(OidcRefused, match="invitation"):
            go(site)
        link = site.db.write(links.invite_to_site, SYSTEM, now=utcnow()).removeprefix("/link/")
        assert go(site, link_secret=link).is_new
        issuer.person = {"sub": "u-9"}
        with pytest.raises(accounts.errors.LinkInvalid):
            go(site, link_secret=link)
    site.db.close()


def test_an_issuer_that_is_not_there_or_not_itself_is_told(tmp_path, issuer):
    def begin(settings):
        whole = growth.settings_of(tmp_path / "data", settings)
        prepare_data(tmp_path / "data", whole)
        site = build_site(tmp_path / "data", whole, base_url="http://hub.test")
        try:
            return federated.begin(site, ANONYMOUS, next_url="/", now=utcnow())
        finally:
            site.db.close()

    for settings, why in (
        (OidcSettings(), "no other site"),
        (OidcSettings(issuer="http://127.0.0.1:9", client_id="x"), "does not answer"),
        (OidcSettings(issuer=issuer.url.replace("127.0.0.1", "localhost"), client_id="x"), "calls itself"),
        (OidcSettings(issuer=f"{issuer.url}/realms/none", client_id="x"), "no openid-configuration"),
    ):
        with pytest.raises(OidcUnavailable, match=why):
            begin(settings)


def test_the_wrong_client_secret_lets_nobody_in(tmp_path, issuer):
    settings = growth.settings_of(
        tmp_path / "data", OidcSettings(**{**issuer.settings(creates="always"), "client_secret": "wrong"})
    )
    prepare_data(tmp_path / "data", settings)
    site = build_site(tmp_path / "data", settings, base_url="http://hub.test")
    with pytest.raises(OidcRefused, match="invalid_client"):
        go(site)
    site.db.close()


def test_settings_are_checked():
    from headwater.accounts.settings import _check_creates, _check_issuer

    assert _check_issuer("") is None
    assert _check_issuer("https://id.example.edu/realms/lab") is None
    assert _check_issuer("http://127.0.0.1:8080") is None
    for wrong in ("http://id.example.edu", "id.example.edu", "ftp://x", "https://x?y"):
        assert _check_issuer(wrong)
    assert _check_creates("sometimes")


def test_another_sites_sign_in_does_not_stand_for_the_second_factor(site):
    from headwater.accounts import totp
    from headwater.accounts.service import second, sessions

    now = utcnow()
    actor = site.db.read(identify.identify_session, go(site, now=now).signed_in.secret, now=now).actor
    begun = second.begin_app(site, actor, now=now)
    code = totp.code_at(begun.secret, totp.step_of(now))
    second.finish_app(site, actor, sealed=begun.sealed, code=code, name="phone", browser=HOME, now=now)
    waiting = go(site).signed_in
    assert isinstance(waiting, sessions.SecondStep)
    code = totp.code_at(begun.secret, totp.step_of(now) + 1)
    done = sessions.finish_sign_in(site, waiting.ticket, second.Shown(code=code), browser=HOME, now=now)
    assert site.db.read(identify.identify_session, done.secret, now=now).session.how == "other_site+totp"


# ---- a fresh proof


@pytest.fixture
def stale(site):
    """Mei, who came in a while ago through the other site and has nothing else to show."""
    secret = go(site).signed_in.secret
    site.db.write(lambda tx: tx.execute(update(session).values(proved_at=utcnow() - FRESH)))
    return site.db.read(identify.identify_session, secret, now=utcnow()).actor


def prove(site, actor, *, by=None, query_for=None):
    """The journey of a proof; ``query_for`` bends the question on its way, ``by`` comes back instead of who left."""
    begun = federated.begin_proof(site, actor, next_url="/new", now=utcnow())
    url = begun.url if query_for is None else query_for(begun.url)
    query = dict(parse_qsl(urlsplit(httpx.get(url, trust_env=False).headers["location"]).query))
    by = actor if by is None else by
    return federated.finish(site, by, query=query, cookie=begun.cookie, browser=HOME, now=utcnow())


def make_token(site, actor):
    return site.db.write(tokens.create_token, actor, name="t", role="read", now=utcnow())


def test_who_has_no_password_shows_at_the_other_site_who_they_are(site, issuer, stale):
    with pytest.raises(ProofNeeded) as refusal:
        make_token(site, stale)
    assert refusal.value.ways == {"other_site"}
    with pytest.raises(ProofNeeded):  # nor may the first password be set by whoever finds the browser open
        people.change_password(
            site, stale, old="", new="a new long one", browser=HOME, keep_session=stale.session_id, now=utcnow()
        )
    issuer.signed_in_at -= 86_400
    query = dict(parse_qsl(urlsplit(federated.begin_proof(site, stale, next_url="/", now=utcnow()).url).query))
    assert (query["prompt"], query["max_age"]) == ("login", "0")
    done = prove(site, stale)
    assert (type(done), done.next_url) == (federated.Proved, "/new")
    fresh = site.db.read(identify.identify_session, done.secret, now=utcnow()).actor
    assert make_token(site, fresh).secret
    with pytest.raises(ProofNeeded):  # a copy of the cookie stays behind
        make_token(site, stale)
    lines = [(line.kind, line.facts) for line in site.db.read(journal.list_own, fresh).items]
    assert ("confirmed", {"how": "other_site"}) in lines


def without_asking_anew(url):
    """As whoever holds a borrowed browser sends it on."""
    return url.replace("&prompt=login", "").replace("&max_age=0", "")


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        ({"twist": {"auth_time": None}}, "no auth_time"),
        ({"twist": {"auth_time": "just now"}}, "no auth_time"),
        ({"twist": {"auth_time": True}}, "no auth_time"),
        ({"twist": {"auth_time": int(time.time()) + 7200}}, "future"),
        ({"asks_nobody": True, "signed_in_at": int(time.time()) - 86_400}, "earlier"),
        ({"asks_nobody": True, "signed_in_at": int(time.time()) - 30}, "earlier"),  # within what clocks may differ
        ({"person": {"sub": "u-2"}}, "someone else"),
    ],
)
def test_a_proof_that_the_other_site_does_not_give_is_none(site, issuer, stale, bend, why):
    for name, value in bend.items():
        setattr(issuer, name, value)
    with pytest.raises(OidcProofRefused, match=why):
        prove(site, stale)
    with pytest.raises(ProofNeeded):
        make_token(site, stale)


def test_leaving_out_the_question_leaves_out_the_proof(site, issuer, stale):
    issuer.signed_in_at -= 86_400
    with pytest.raises(OidcProofRefused, match="earlier"):
        prove(site, stale, query_for=without_asking_anew)
    with pytest.raises(ProofNeeded):
        make_token(site, stale)


def test_a_proof_counts_for_the_session_that_left_for_it(site, issuer, stale):
    again = go(site).signed_in
    other = site.db.read(identify.identify_session, again.secret, now=utcnow()).actor
    assert other.account_id == stale.account_id
    for by in (other, ANONYMOUS):
        with pytest.raises(OidcProofRefused, match="meanwhile"):
            prove(site, stale, by=by)
    with pytest.raises(NotSignedIn):
        federated.begin_proof(site, ANONYMOUS, next_url="/", now=utcnow())
    with pytest.raises(ProofNeeded):
        make_token(site, stale)


def test_a_sign_in_there_without_a_word_is_no_fresh_proof(site, issuer, stale):
    for signed_in_at, twist, is_fresh in (
        (int(time.time()), {}, True),
        (int(time.time()) - 86_400, {}, False),
        (int(time.time()), {"auth_time": None}, False),
    ):
        issuer.signed_in_at, issuer.twist = signed_in_at, twist
        actor = site.db.read(identify.identify_session, go(site).signed_in.secret, now=utcnow()).actor
        if is_fresh:
            make_token(site, actor)
        else:
            with pytest.raises(ProofNeeded):
                make_token(site, actor)


def test_who_has_a_password_or_a_factor_shows_that_and_nothing_less(site, person):
    bob = person("bob", password_hash=hash_password("four grey stones"))
    go(site, actor=bob, adds_to_account=True)
    actor = site.db.read(identify.identify_session, go(site).signed_in.secret, now=utcnow()).actor
    assert actor.name == "bob"
    with pytest.raises(OidcProofRefused, match="password or second factor"):
        federated.begin_proof(site, actor, next_url="/", now=utcnow())


def test_adding_a_way_in_makes_no_session_fresher(site, issuer, person):
    from headwater.accounts.service import sessions

    person("bob", password_hash=hash_password("four grey stones"))
    then = utcnow() - FRESH + timedelta(minutes=1)
    entered = sessions.sign_in(site, ANONYMOUS, name="bob", password="four grey stones", browser=HOME, now=then)
    bob = site.db.read(identify.identify_session, entered.secret, now=utcnow()).actor
    issuer.signed_in_at -= 86_400
    done = go(site, actor=bob, adds_to_account=True)
    bob = site.db.read(identify.identify_session, done.signed_in.secret, now=utcnow()).actor
    assert make_token(site, bob)
    with pytest.raises(ProofNeeded):
        site.db.write(tokens.create_token, bob, name="t", role="read", now=utcnow() + timedelta(minutes=2))
