"""Second factors, confirming, logs and the sessions' list over real HTTP, as a browser without JavaScript uses them."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update

from headwater.accounts import Role, totp
from headwater.accounts.service.freshness import FRESH
from headwater.accounts.tables import account, session
from headwater.kernel import utcnow
from tests.accounts.test_pages import Reader
from tests.conftest import PASSWORD


@pytest.fixture
def reader(live_app):
    return lambda language="en": Reader(live_app.url, language)


def code_of(secret, steps=0):
    return totp.code_at(secret, totp.step_of(utcnow()) + steps)


def set_up_app(browser):
    """The app's secret and the recovery codes, as the page shows them."""
    import base64

    browser.open("/settings/second-factor").send(into='value="begin_app"')
    spelled = re.search(r"<code>([A-Z2-7 ]{30,})</code>", browser.page.text).group(1).replace(" ", "")
    secret = base64.b32decode(spelled)
    browser.send(into='value="finish_app"', code="000000", name="phone")
    assert browser.page.status_code == 401
    assert spelled in browser.page.text.replace(" ", "")  # the same picture: the app need not be set up anew
    browser.send(into='value="finish_app"', code=code_of(secret), name="phone")
    assert browser.page.status_code == 200
    codes = re.search(r'id="codes".*?<code>([^<]+)</code>', browser.page.text, re.DOTALL).group(1).split()
    assert browser.page.headers["cache-control"] == "no-store"
    assert codes[0] not in browser.open("/settings/second-factor").text
    return secret, codes


def make_stale(app, name):
    """As if the person had signed in a while ago."""
    with app.opened() as site:
        who = account.select().with_only_columns(account.c.id).where(account.c.name == name).scalar_subquery()
        act = (
            update(session).where(session.c.account_id == who).values(proved_at=utcnow() - FRESH - timedelta(minutes=1))
        )
        site.db.write(lambda tx: tx.execute(act))


def test_an_app_is_set_up_and_asked_for_after_the_password(live_app, reader):
    live_app.add_person("ulla")
    ulla = reader().sign_in("ulla")
    secret, codes = set_up_app(ulla)
    there = reader().open("/settings/tokens").send("/login", name="ulla", password=PASSWORD)
    assert there.page.url.path == "/login/second"
    assert there.who is None
    there.send(code="123456")
    assert there.page.status_code == 401
    assert "does not fit" in there.text
    assert there.who is None
    there.send(code=code_of(secret, 1))
    assert there.page.url.path == "/settings/tokens"
    assert there.who == "ulla"
    third = reader("zh-CN").sign_in("ulla")
    assert "还差一步" in third.text
    assert third.send(code=codes[0]).who == "ulla"
    fourth = reader().sign_in("ulla")
    assert fourth.send(code=codes[0]).who is None  # it worked once
    ulla.open("/settings/second-factor")
    assert "9 recovery codes are left" in ulla.text
    ulla.send(into='value="remove"')
    assert reader().sign_in("ulla").who == "ulla"


def test_the_second_step_without_a_first_leads_back_to_it(live_app, reader):
    lost = reader().open("/login/second?next=/models")
    assert (lost.page.url.path, lost.page.url.query) == ("/login", b"next=%2Fmodels")
    assert "Too much time" in lost.text
    lost.client.cookies.set("hw_second", "made.up", path="/login")
    assert lost.open("/login/second").page.url.path == "/login"
    assert lost.client.post("/login/second", data={"code": "123456"}).url.path == "/login"


def test_a_planted_cookie_is_not_taken_over_and_the_former_session_ends(live_app, reader):
    """H12: whoever signs in gets a cookie of ours, whatever was there."""
    live_app.add_person("velia")
    victim = reader()
    planted = "planted-by-somebody-else"
    victim.client.cookies.set("hw_session", planted)
    victim.sign_in("velia")
    mine = victim.client.cookies.get("hw_session", domain="127.0.0.1")
    assert victim.who == "velia"
    assert planted not in {cookie.value for cookie in victim.client.cookies.jar if cookie.value == mine}
    attacker = httpx.Client(base_url=live_app.url, cookies={"hw_session": planted}, trust_env=False)
    assert attacker.get("/api/whoami-v2").status_code == 401
    # An attacker's own live session, planted in a victim's browser: signing in ends it rather than sharing it.
    eve = reader().sign_in("eve")
    theirs = next(cookie.value for cookie in eve.client.cookies.jar if cookie.name == "hw_session")
    other = reader()
    other.client.cookies.set("hw_session", theirs, domain="127.0.0.1")
    page = other.client.get("/settings/profile").text
    word = re.search(r'name="csrf" value="([^"]+)"', page).group(1)
    answer = other.client.post("/login", data={"name": "velia", "password": PASSWORD, "csrf": word})
    assert answer.status_code == 200
    assert eve.who is None


def test_deleting_asks_who_it_is_and_then_goes_on(live_app, reader):
    live_app.add_person("wilja")
    hf = live_app.hf("wilja")
    hf.create_repo("wilja/gone")
    hf.create_repo("wilja/moved")
    wilja = reader().sign_in("wilja")
    make_stale(live_app, "wilja")
    before = next(cookie.value for cookie in wilja.client.cookies.jar if cookie.name == "hw_session")
    wilja.open("/wilja/gone/settings").send(into='value="delete"', confirm="wilja/gone")
    assert wilja.page.status_code == 403
    assert "Is it you?" in wilja.text
    assert hf.repo_exists("wilja/gone")
    wilja.send("/settings/confirm", proof_password="wrong words")
    assert wilja.page.status_code == 401
    assert hf.repo_exists("wilja/gone")
    wilja.send("/settings/confirm", proof_password=PASSWORD)
    assert wilja.page.url.path == "/wilja"
    assert not hf.repo_exists("wilja/gone")
    after = next(cookie.value for cookie in wilja.client.cookies.jar if cookie.name == "hw_session")
    assert before != after
    stolen = httpx.get(f"{live_app.url}/api/whoami-v2", cookies={"hw_session": before}, trust_env=False)
    assert stolen.status_code == 401
    # The proof holds for a while.
    wilja.open("/wilja/moved/settings").send(into='value="move"', owner="wilja", name="there")
    assert hf.repo_exists("wilja/there")


def test_making_a_token_asks_and_the_token_is_the_one_that_was_asked_for(live_app, reader):
    live_app.add_person("xandra")
    xandra = reader("zh-CN").sign_in("xandra")
    make_stale(live_app, "xandra")
    xandra.open("/settings/tokens").send(into='value="create"', name="<b>lap</b>", role="write", life="30")
    assert "是您本人吗" in xandra.text
    assert "<b>lap</b>" not in xandra.page.text
    xandra.send("/settings/confirm", proof_password=PASSWORD)
    token = xandra.secret()
    assert "&lt;b&gt;lap&lt;/b&gt;" in xandra.page.text
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{live_app.url}/api/whoami-v2", headers=headers, trust_env=False).json()["name"] == "xandra"


def test_a_program_with_a_cookie_is_told_and_one_with_a_token_is_not_asked(live_app, reader):
    live_app.add_person("yann")
    live_app.hf("yann").create_repo("yann/kept")
    yann = reader().sign_in("yann")
    make_stale(live_app, "yann")
    word = re.search(r'name="csrf" value="([^"]+)"', yann.open("/settings/profile").page.text).group(1)
    body = {"name": "kept", "organization": "yann", "type": "model"}
    answer = yann.client.request("DELETE", "/api/repos/delete", json=body, headers={"X-CSRF-Token": word})
    assert answer.status_code == 403
    assert "/settings/confirm" in answer.text
    live_app.hf("yann").delete_repo("yann/kept")


def test_confirming_leads_nowhere_else(live_app, reader):
    live_app.add_person("zita")
    zita = reader().sign_in("zita").open("/settings/confirm?next=https://evil.example/")
    assert 'name="proof_next" value="/settings/sign-in"' in zita.page.text
    zita.client.follow_redirects = False
    zita.send("/settings/confirm", proof_password=PASSWORD, proof_next="//evil.example", proof_form="1")
    assert zita.page.headers["location"] == "/"
    zita.open("/settings/confirm").send("/settings/confirm", proof_password=PASSWORD, proof_next="/中")
    assert (zita.page.status_code, zita.page.headers["location"]) == (303, "/%E4%B8%AD")
    assert zita.who == "zita"
    stranger = reader().open("/settings/confirm")
    assert stranger.page.url.path == "/login"


def test_what_was_typed_as_a_password_is_not_carried_along(live_app, reader):
    live_app.add_person("abel")
    abel = reader().sign_in("abel")
    set_up_app(abel)
    make_stale(live_app, "abel")
    abel.open("/settings/sign-in").send(into="old", old=PASSWORD, password="another long one")
    assert "Is it you?" in abel.text
    assert PASSWORD not in abel.page.text
    assert "another long one" not in abel.page.text


def test_sessions_are_listed_with_where_and_how(live_app, reader):
    live_app.add_person("bela")
    bela = reader().sign_in("bela")
    reader().sign_in("bela")
    text = bela.open("/settings/sign-in").text
    assert text.count("127.0.0.1") >= 2
    assert "password" in text


def test_the_log_shows_alerts_until_they_were_looked_at(live_app, reader):
    live_app.add_person("cleo")
    cleo = reader().sign_in("cleo")
    away = reader()
    away.client.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"
    away.sign_in("cleo")
    assert "1 alert waits" in away.text
    cleo.open("/settings/log")
    assert "1 alert that you have not looked at" in cleo.text
    assert "a browser and network not seen before" in cleo.text
    assert "Firefox · Windows" in cleo.text
    cleo.send("/settings/log")
    assert "not looked at" not in cleo.text
    assert "new place" not in reader().sign_in("cleo").text


def test_the_operator_takes_a_lost_factor_away(live_app, reader):
    live_app.add_person("dora")
    dora = reader().sign_in("dora")
    set_up_app(dora)
    assert live_app.cli("user", "reset-second-factor", "dora") == {"name": "dora", "removed": 1}
    assert dora.who is None
    again = reader().sign_in("dora")
    assert again.who == "dora"
    assert "taken away by the operator" in again.open("/settings/log").text


def test_on_a_bare_address_the_page_says_why_there_are_no_passkeys(live_app, reader):
    live_app.add_person("emil")
    emil = reader().sign_in("emil").open("/settings/second-factor")
    assert "you came by 127.0.0.1" in emil.text
    assert "data-passkey" not in emil.page.text
    assert "data-passkey" not in reader().open("/login").page.text


# ---- an organisation's log


@pytest.fixture(scope="module")
def guild(live_app):
    """An organisation with an administrator, a member and a stranger; things happened there and elsewhere."""
    for name in ("gil", "mara", "out"):
        live_app.add_person(name)
    live_app.cli("org", "create", "guild", "--owner", "gil")
    Reader(live_app.url).sign_in("mara")  # before she belonged to it
    live_app.add_member("guild", "mara", Role.WRITE)
    hf = live_app.hf("mara")
    hf.create_repo("guild/secret-plan", private=True)
    hf.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="guild/secret-plan")
    hf.create_repo("mara/own")
    live_app.hf("gil").create_repo("guild/leaving")
    live_app.hf("gil").move_repo("guild/leaving", "gil/left")
    live_app.hf("gil").update_repo_settings("gil/left", private=True)
    Reader(live_app.url).sign_in("mara")
    return live_app


def lines_of(app, name="gil"):
    answer = Reader(app.url).sign_in(name).client.get("/organizations/guild/audit/export/json")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_log_of_an_organisation_says_who_did_what(guild):
    lines = lines_of(guild)
    acts = [(line["act"], line["actor"], line["subject"]) for line in lines]
    assert ("ref.moved", "mara", "guild/secret-plan") in acts  # with the plain names of what is private
    assert ("repository.created", "mara", "guild/secret-plan") in acts
    assert ("member.role_set", "system", "guild") in acts
    assert ("repository.moved", "gil", "guild/leaving") in acts  # that it left stays known
    assert not any("mara/own" in line["subject"] for line in lines)
    assert "repository.settings_changed" not in {act for act, _, _ in acts}  # what happened after it left
    assert "signed_in" not in {act for act, _, _ in acts}  # how members sign in is theirs alone
    assert "127.0.0.1" not in str(lines)
    moments = [line["at"] for line in lines]
    assert moments == sorted(moments, reverse=True)


def test_who_makes_somebody_a_member_unasked_learns_nothing_of_their_sign_ins(guild):
    guild.add_person("nora")
    guild.add_member("guild", "nora", Role.READ)
    nora = Reader(guild.url).sign_in("nora")
    set_up_app(nora)
    told = [line for line in lines_of(guild) if "nora" in str(line)]
    assert [(line["act"], line["actor"]) for line in told] == [("member.role_set", "system")]


def test_what_an_organisation_receives_stands_in_its_log(guild):
    guild.hf("gil").create_repo("gil/gift")
    guild.hf("gil").move_repo("gil/gift", "guild/gift")
    assert ("repository.received", "guild/gift") in [(line["act"], line["subject"]) for line in lines_of(guild)]


def test_only_administrators_read_it(guild):
    addresses = ["/organizations/guild/audit", *(f"/organizations/guild/audit/export/{k}" for k in ("csv", "json"))]
    for name in ("mara", "out"):
        person = Reader(guild.url).sign_in(name)
        assert [person.client.get(address).status_code for address in addresses] == [403] * 3
    stranger = httpx.Client(base_url=guild.url, trust_env=False)
    assert [stranger.get(address).status_code for address in addresses] == [303] * 3
    for scope, status in (("read", 403), ("write", 403), ("admin", 200)):
        headers = {"Authorization": f"Bearer {guild.token('gil', scope)}"}
        assert stranger.get(addresses[2], headers=headers).status_code == status
    assert stranger.get("/organizations/nobody/audit").status_code == 404
    assert stranger.get("/organizations/gil/audit").status_code == 404


def test_all_of_it_is_exported_in_each_form_and_no_cell_is_a_formula(guild):
    gil = Reader(guild.url).sign_in("gil")
    guild.hf("gil").create_discussion(
        "guild/gift" if guild.hf("gil").repo_exists("guild/gift") else "gil/left", "=cmd()"
    )
    answer = gil.client.get("/organizations/guild/audit/export/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    lines = lines_of(guild)
    assert [row["act"] for row in rows] == [line["act"] for line in lines][-len(rows) :]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    text = gil.client.get("/organizations/guild/audit/export/jsonl").text
    assert len(text.splitlines()) >= len(rows)


def test_the_log_pages_on_and_loses_nothing(guild, monkeypatch):
    from headwater.accounts.service import audit
    from headwater.kernel import SYSTEM

    with guild.opened() as site:
        _, whole = site.db.read(audit.list_lines, SYSTEM, "guild", limit=500)
        found, cursor = [], None
        while True:
            _, page = site.db.read(audit.list_lines, SYSTEM, "guild", cursor=cursor, limit=3)
            found += page.items
            cursor = page.cursor
            if cursor is None:
                break
    assert len(whole.items) > 6
    assert found == list(whole.items)
    gil = Reader(guild.url).sign_in("gil")
    for cursor in ("x", "WzEsMl0x", "W10", "WyJhIixudWxsXQ", "Wy0xLG51bGxd"):
        assert gil.open(f"/organizations/guild/audit?cursor={cursor}").page.status_code == 400
