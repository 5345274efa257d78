"""People's own pages, as a browser without JavaScript uses them: forms posted to a real server."""

from __future__ import annotations

import html
import re
from urllib.parse import quote, urlsplit

import httpx
import pytest
from sqlalchemy import update

from headwater.accounts import SignUpPolicy
from headwater.accounts.service import links, policy
from headwater.accounts.service.freshness import FRESH
from headwater.accounts.tables import session
from headwater.kernel import SYSTEM, utcnow
from tests.conftest import PASSWORD
from tests.servers.issuer import Issuer


class Reader:
    """One browser: keeps cookies, follows redirects, fills in forms as they stand in the page."""

    def __init__(self, url: str, language: str = "en") -> None:
        self.client = httpx.Client(
            base_url=url, trust_env=False, follow_redirects=True, headers={"Accept-Language": language, "Origin": url}
        )
        self.page: httpx.Response | None = None

    @property
    def text(self) -> str:
        return html.unescape(self.page.text)

    def open(self, address: str) -> Reader:
        self.page = self.client.get(address)
        return self

    def send(self, address: str | None = None, *, into: str = "", **values: str) -> Reader:
        """Post the form whose action is ``address`` (and that holds the text ``into``), hidden fields included."""
        own = str(self.page.url.path) if address is None else address
        forms = re.findall(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', self.page.text, re.DOTALL)
        for action, body in forms:
            if action.partition("#")[0] == own and into in html.unescape(body):
                fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body))
                filled = {name: html.unescape(value) for name, value in fields.items()} | values
                self.page = self.client.post(own, data=filled)
                return self
        raise AssertionError(f"no form for {own} with {into!r} in {self.page.url}")

    def sign_in(self, name: str, password: str = PASSWORD) -> Reader:
        return self.open("/login").send("/login", name=name, password=password)

    @property
    def who(self) -> str | None:
        answer = self.client.get("/api/whoami-v2")
        return answer.json()["name"] if answer.status_code == 200 else None

    def secret(self) -> str:
        """What the page shows this once."""
        return html.unescape(re.search(r"<code>((?:hw_|http)[^<]+)</code>", self.page.text).group(1))


@pytest.fixture
def reader(live_app):
    return lambda language="en": Reader(live_app.url, language)


@pytest.fixture
def ada(reader):
    return reader().sign_in("ada")


def test_signing_in_leads_back_and_out_again(live_app, reader):
    bob = reader().open("/settings/tokens")
    assert urlsplit(str(bob.page.url)).path == "/login"
    bob.send("/login", name="bob", password=PASSWORD)
    assert bob.page.url.path == "/settings/tokens"
    assert bob.who == "bob"
    bob.open("/settings/profile").send("/logout")
    assert "You are signed out" in bob.text
    assert bob.who is None


def test_a_wrong_password_is_told_in_both_languages(reader):
    for language, words in (("en", "do not fit"), ("zh-CN", "用户名与密码不符")):
        eve = reader(language).sign_in("eve", "wrong words here")
        assert eve.page.status_code == 401
        assert words in eve.text
        assert 'value="eve"' in eve.page.text
        assert eve.who is None


def test_signing_in_never_leads_to_another_site(reader):
    for away in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        bob = reader().open("/login")
        bob.client.follow_redirects = False
        bob.send("/login", name="bob", password=PASSWORD, next=away)
        assert bob.page.headers["location"] == "/"


def test_signing_in_leads_back_to_a_page_of_any_name(reader):
    for name in ("中.txt", "é+x", "%E4%B8%AD.txt"):
        bob = reader().open("/login")
        bob.client.follow_redirects = False
        bob.send("/login", name="bob", password=PASSWORD, next=f"/ada/x/edit/main/{name}?a=1#L2")
        assert bob.page.status_code == 303
        assert bob.page.headers["location"] == f"/ada/x/edit/main/{quote(name, safe='%+.')}?a=1#L2"
        assert bob.who == "bob"


def test_a_form_of_too_many_fields_is_refused_and_no_fault(live_app, reader):
    ada, stranger = reader().sign_in("ada"), reader()
    for who, address, n in (
        (stranger, "/login", 1001),
        (ada, "/settings/profile", 1001),
        (stranger, "/oauth/device", 51),
        (stranger, "/oauth/token", 51),
    ):
        answer = who.client.post(
            address, content="a=1&" * n, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code == 400, address


def test_forms_from_elsewhere_are_refused(live_app, reader):
    bob = reader().sign_in("bob")
    foreign = (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "none"},
    )
    for headers in foreign:
        for data in ({"act": "end_all"}, {"act": "end_all", "csrf": "wrong"}):
            assert bob.client.post("/settings/sign-in", data=data, headers=headers).status_code == 403
    assert bob.client.post("/settings/sign-in", data={"act": "end_all"}).status_code == 403
    assert bob.who == "bob"
    login = {"name": "bob", "password": PASSWORD}
    for headers in foreign:
        stranger = httpx.post(f"{live_app.url}/login", data=login, headers=headers, trust_env=False)
        assert stranger.status_code == 403
        assert "hw_session" not in stranger.headers.get("set-cookie", "")
    for headers in ({"Origin": live_app.url, "Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "none"}):
        assert httpx.post(f"{live_app.url}/login", data=login, headers=headers).status_code == 303


def test_the_profile_is_changed_and_bad_fields_are_told_beside_the_form(live_app, reader):
    live_app.add_person("pia")
    pia = reader().sign_in("pia").open("/settings/profile")
    pia.send("/settings/profile", full_name="Pia <b>", details="Hello & welcome", email="p@example.org")
    assert "Saved" in pia.text
    assert 'value="Pia &lt;b&gt;"' in pia.page.text
    pia.send("/settings/profile", full_name="Pia", details="", email="nonsense")
    assert pia.page.status_code == 400
    assert "nonsense" in pia.text
    assert "no e-mail address" in pia.text


def test_a_new_password_signs_out_other_browsers(live_app, reader):
    live_app.add_person("quin")
    here, there = reader().sign_in("quin"), reader().sign_in("quin")
    here.open("/settings/sign-in").send(into="old", old="not it", password="another long one")
    assert here.page.status_code == 401
    here.send(into="old", old=PASSWORD, password="another long one")
    assert "new password is set" in here.text
    assert (here.who, there.who) == ("quin", None)
    assert reader().sign_in("quin", "another long one").who == "quin"


def test_browsers_are_listed_and_signed_out(live_app, reader):
    live_app.add_person("rosa")
    here, there, third = (reader().sign_in("rosa") for _ in range(3))
    here.open("/settings/sign-in")
    assert here.page.text.count('value="end"') == 2
    here.send(into='value="end"')
    assert [there.who, third.who].count(None) == 1
    here.send(into='value="end_others"')
    assert (here.who, there.who, third.who) == ("rosa", None, None)
    here.open("/settings/sign-in").send(into='value="end_all"')
    assert here.page.url.path == "/login"
    assert here.who is None


def test_tokens_are_made_shown_once_and_revoked(live_app, reader):
    live_app.add_person("sam")
    sam = reader().sign_in("sam").open("/settings/tokens")
    sam.send(into='value="create"', name="laptop", role="write", life="30")
    token = sam.secret()
    assert sam.page.headers["cache-control"] == "no-store"
    answer = httpx.get(f"{live_app.url}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.json()["auth"]["accessToken"] == {
        "displayName": "laptop",
        "role": "write",
        **{
            key: value
            for key, value in answer.json()["auth"]["accessToken"].items()
            if key not in ("displayName", "role")
        },
    }
    assert token not in sam.open("/settings/tokens").text
    sam.send(into='value="revoke"')
    assert "no longer works" in sam.text
    answer = httpx.get(f"{live_app.url}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.status_code == 401
    sam.send(into='value="create"', name="", role="read")
    assert sam.page.status_code == 400


def test_a_fine_grained_token_reaches_what_it_names(live_app, reader):
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    live_app.add_person("tess")
    hf = live_app.hf("tess")
    for name in ("tess/one", "tess/two"):
        hf.create_repo(name, private=True)
    tess = reader().sign_in("tess").open("/settings/tokens")
    tess.send(into='value="create"', name="one", role="fine", repo_1="tess/one", repo_action_1="read")
    fine = HfApi(endpoint=live_app.url, token=tess.secret())
    assert fine.model_info("tess/one").id == "tess/one"
    with pytest.raises(RepositoryNotFoundError):
        fine.model_info("tess/two")
    assert [model.id for model in fine.list_models(author="tess")] == ["tess/one"]
    assert "tess/one" in tess.open("/settings/tokens").text
    tess.send(into='value="create"', name="none", role="fine")
    assert "at least one" in tess.text
    tess.send(into='value="create"', name="none", role="fine", repo_1="eve/unknown", repo_action_1="read")
    assert tess.page.status_code == 404


def test_an_organisation_from_its_making_to_leaving_it(live_app, reader):
    for name in ("uli", "vera", "wim"):
        live_app.add_person(name)
    uli, vera, wim = (reader().sign_in(name) for name in ("uli", "vera", "wim"))
    uli.open("/organizations/new").send(name="settings")
    assert uli.page.status_code == 400
    uli.send("/organizations/new", name="river-lab", full_name="River Laboratory")
    assert uli.page.url.path == "/organizations/river-lab/members"
    uli.send(into='name="person" type="text"', person="vera", role="read")
    assert "The role is set" in uli.text
    uli.send(into='name="person" type="text"', person="nobody-here", role="read")
    assert uli.page.status_code == 404
    assert "nobody-here" in uli.text
    uli.send(into='value="invite"', role="write", note="for wim")
    link = uli.secret()
    wim.open(urlsplit(link).path)
    assert "join river-lab" in wim.text
    wim.send()
    assert "You are now a member" in wim.text or wim.page.url.path == "/river-lab"
    vera.open("/organizations/river-lab/members")
    for name in ("uli", "vera", "wim"):
        assert f'href="/{name}"' in vera.page.text
    assert "<select" not in vera.page.text
    assert vera.open("/organizations/river-lab/settings").page.status_code == 403
    uli.open("/organizations/river-lab/settings").send(full_name="The River Laboratory", details="", email="")
    assert "The River Laboratory" in uli.text
    uli.open("/organizations/river-lab/members").send(
        into='value="remove"><input type="hidden" name="person" value="uli"'
    )
    assert uli.page.status_code == 409
    vera.open("/settings/organisations").send(into='value="river-lab"')
    assert "You have left" in vera.text
    stranger = reader().open("/organizations/river-lab/members")
    assert 'href="/vera"' not in stranger.page.text
    assert reader().open("/organizations/ada/members").page.status_code == 404


def test_administration_makes_suspends_and_reinstates_people(live_app, reader, ada):
    ada.open("/admin")
    assert ada.page.url.path == "/admin/people"
    ada.send(into='value="create"', person="xena", full_name="Xena", email="")
    link = ada.secret()
    xena = reader().open(urlsplit(link).path)
    assert "Set a new password for xena" in xena.text
    xena.send(password="short")
    assert xena.page.status_code == 400
    xena.send(password="a long password")
    assert xena.who == "xena"
    assert reader().open(urlsplit(link).path).page.status_code == 410
    ada.open("/admin/people?q=xena").send(into='value="suspend"')
    assert "xena is suspended" in ada.text
    assert xena.who is None
    assert reader().sign_in("xena", "a long password").who is None
    ada.open("/admin/people?q=xena").send(into='value="reinstate"')
    assert reader().sign_in("xena", "a long password").who == "xena"
    ada.open("/admin/people?q=xena").send(into='value="make_admin"')
    assert reader().sign_in("xena", "a long password").open("/admin/people").page.status_code == 200
    ada.open("/admin/people?q=xena").send(into='value="unmake_admin"')
    bob = reader().sign_in("bob")
    assert bob.open("/admin/people").page.status_code == 403
    assert reader().open("/admin/people").page.url.path == "/login"


def test_sign_up_follows_the_policy_and_invitations(live_app, reader, ada):
    try:
        stranger = reader().open("/join")
        assert "by invitation only" in stranger.text
        ada.open("/admin/sign-up").send(into='name="note"', note="a friend")
        path = urlsplit(ada.secret()).path
        guest = reader("zh-CN").open(path)
        assert "创建账号" in guest.text
        guest.send(name="Ada", full_name="", password="long enough")
        assert guest.page.status_code == 409
        assert "已被使用" in guest.text
        guest.send(path, name="yan", full_name="燕", password="long enough")
        assert guest.who == "yan"
        assert "欢迎" in guest.text
        ada.open("/admin/sign-up").send(into='value="policy"', policy="open")
        new = reader().open("/join").send(name="zed", password="long enough")
        assert new.who == "zed"
        ada.open("/admin/sign-up").send(into='name="note"', note="withdrawn")
        path = urlsplit(ada.secret()).path
        ada.open("/admin/sign-up").send(into='value="withdraw"')
        assert reader().open(path).page.status_code == 410
    finally:
        with live_app.opened() as site:
            site.db.write(policy.set_sign_up_policy, SYSTEM, SignUpPolicy.CLOSED, now=utcnow())


def test_the_first_administrator_signs_up_by_the_link_that_starting_prints(new_app):
    app = new_app(people=False)
    with app.opened() as site:
        link = site.db.write(links.ensure_first_admin_link, utcnow())
    first = Reader(app.url).open(link)
    assert "becomes the first" in first.text
    first.send(name="root-of-all", password="long enough")
    assert first.open("/admin/people").page.status_code == 200


def test_no_page_breaks_in_either_language(reader):
    for language in ("en", "zh-CN"):
        for who, addresses in (
            (None, ["/login", "/join", "/organizations/lab/members", "/link/nothing"]),
            (
                "ada",
                [
                    "/settings/profile",
                    "/settings/sign-in",
                    "/settings/tokens",
                    "/settings/organisations",
                    "/organizations/new",
                    "/organizations/lab/settings",
                    "/organizations/lab/members",
                    "/admin/people",
                    "/admin/sign-up",
                ],
            ),
        ):
            person = reader(language)
            if who is not None:
                person.sign_in(who)
            for address in addresses:
                page = person.open(address).page
                assert page.status_code == (410 if address == "/link/nothing" else 200), address
                assert f'lang="{language}"' in page.text
                assert len(re.findall(r"<h1", page.text)) == 1, address


def test_signing_in_through_another_site_end_to_end(new_app):
    with Issuer() as issuer:
        env = {f"HEADWATER_OIDC_{name.upper()}": value for name, value in issuer.settings(creates="always").items()}
        app = new_app(env={**env, "HEADWATER_OIDC_LABEL": "Campus"})
        mei = Reader(app.url).open("/login?next=/settings/tokens")
        assert "Go on with Campus" in mei.text
        mei.open(re.search(r'href="(/login/oidc\?[^"]+)"', mei.page.text).group(1))
        assert mei.page.url.path == "/settings/tokens"
        assert "Welcome, mei" in mei.text
        assert mei.who == "mei"
        issuer.twist = {"nonce": "another"}
        eve = Reader(app.url).open("/login/oidc")
        assert eve.page.status_code == 401
        assert "another attempt" in eve.text
        assert eve.who is None
        issuer.twist = {}
        issuer.person = {"sub": "u-7", "preferred_username": "bobby"}
        bob = Reader(app.url).sign_in("bob").open("/settings/sign-in").send(into='value="tie"')
        away = html.unescape(re.search(r'<a class="btn main" href="([^"]+)"', bob.page.text).group(1))
        bob.client.headers.pop("Origin")
        bob.open(away)
        assert bob.page.url.path == "/settings/sign-in"
        assert "You can sign in through Campus" in bob.text
        again = Reader(app.url).open("/login/oidc?next=/settings/profile")
        assert again.who == "bob"
        _prove_through_another_site(app, issuer, mei)


def _prove_through_another_site(app, issuer, mei):
    """Mei has no password: what she sends asks for a proof, and the other site's is one only if it was given just now."""
    issuer.person = {"sub": "u-1", "preferred_username": "mei"}

    def ask():
        mei.client.headers["Referer"] = f"{app.url}/settings/tokens"
        mei.open("/settings/tokens").send(into='value="create"', name="t", role="read")

    with app.opened() as site:
        site.db.write(lambda tx: tx.execute(update(session).values(proved_at=utcnow() - FRESH)))
    ask()
    assert (mei.page.status_code, "Is it you?" in mei.text) == (403, True)
    assert "goes on right after" not in mei.text
    away = html.unescape(re.search(r'<a class="btn main" href="([^"]+)"', mei.page.text).group(1))
    for twist, asks_nobody, told in (
        ({"auth_time": None}, False, "has no auth_time"),
        ({}, True, "took a sign-in of earlier"),
    ):
        issuer.twist, issuer.asks_nobody, issuer.signed_in_at = twist, asks_nobody, issuer.signed_in_at - 7200
        assert away.startswith("/login/oidc?anew=1&next=%2Fsettings%2Ftokens")
        _follow(mei, away)
        assert (mei.page.status_code, mei.who) == (401, "mei")
        assert told in mei.text
        assert "Is it you?" in mei.text
    issuer.twist, issuer.asks_nobody = {}, False
    _follow(mei, away)
    assert (mei.page.url.path, "Now do what you meant to do" in mei.text) == ("/settings/tokens", True)
    ask()
    assert mei.page.status_code == 200
    assert "hw_" in mei.page.text


def _follow(reader, address):
    """A link: a browser says no origin then."""
    origin = reader.client.headers.pop("Origin")
    reader.open(address)
    reader.client.headers["Origin"] = origin
