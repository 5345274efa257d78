"""Webhooks: who hears what, signatures, retries, and addresses that may not be reached. The receiver is a real server."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import accounts, queue
from headwater.accounts.service import organisations
from headwater.hub.community import deliveries, discussions, outbound, pulls, webhooks
from headwater.hub.community.errors import AddressRefused, BadWebhook, WebhookNotFound
from headwater.hub.community.outbound import Allowed, is_public
from headwater.hub.community.settings import WebhookSettings
from headwater.hub.community.webhooks import WebhookFields
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.jobs import OUTBOUND_HANDLERS
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.repos import service as repos
from headwater.kernel import SYSTEM, Grant, Settings, TokenLimits
from tests.community.conftest import NOW, World
from tests.servers.receiver import Receiver

MODEL = RepoKind.MODEL
RIVER = RepoName("ada", "river")
SECRET = "between you and me"


@pytest.fixture
def receiver():
    started = Receiver().start()
    yield started
    started.stop()


@pytest.fixture
def listening(world: World, receiver: Receiver) -> World:
    """Loopback is allowed, bob listens to ada."""
    world.site.settings = Settings([WebhookSettings(allow=("127.0.0.0/8",))])
    world.repo("ada/river")
    listen(world, "bob", receiver.url)
    return world


def listen(world: World, name: str, url: str, *, watched=(("user", "ada"),), secret=SECRET, domains=None):
    fields = WebhookFields(url=url, watched=watched, secret=secret, domains=domains)
    return world.site.db.write(webhooks.create_webhook, world.person(name), fields, now=NOW)


def test_a_webhook_made_by_a_fine_grained_token_hears_what_that_may_read(listening: World, receiver: Receiver):
    ada = listening.person("ada")
    secrets = [listening.repo(f"ada/secret{n}", is_private=True) for n in range(2)]
    grants = (Grant("write", account_id=ada.account_id),)
    narrow = replace(ada, limits=TokenLimits(1, "narrow", "fine", (*grants, Grant("read", repo_id=secrets[0].id))))
    none = replace(ada, limits=TokenLimits(2, "none", "fine", (Grant("write", repo_id=secrets[0].id),)))
    write = listening.site.db.write
    fields = WebhookFields(url=receiver.url, watched=(("user", "ada"),))

    def heard(hook) -> int:
        before = len(listening.site.db.read(webhooks.list_deliveries, ada, hook.public_id))
        for n in range(2):
            name = RepoName("ada", f"secret{n}")
            write(discussions.open_discussion, ada, MODEL, name, title="A question", body="text", now=NOW)
        return len(listening.site.db.read(webhooks.list_deliveries, ada, hook.public_id)) - before

    whole = write(webhooks.create_webhook, ada, fields, now=NOW)
    assert heard(whole) == 2
    own = write(webhooks.create_webhook, narrow, fields, now=NOW)
    assert heard(own) == 2  # its grant on the account reaches both
    with pytest.raises(accounts.NotAllowed):
        write(webhooks.create_webhook, none, fields, now=NOW)
    org = listening.site.db.read(accounts.find_account, "lab")
    if org is None:
        write(organisations.create_organisation, SYSTEM, "lab", owner="ada", now=NOW)
    hidden = listening.repo("lab/hidden", is_private=True)
    lab = write(webhooks.create_webhook, ada, replace(fields, watched=(("org", "lab"),)), now=NOW)

    def told() -> int:
        before = len(listening.site.db.read(webhooks.list_deliveries, ada, lab.public_id))
        write(discussions.open_discussion, ada, MODEL, hidden.name, title="A question", body="text", now=NOW)
        return len(listening.site.db.read(webhooks.list_deliveries, ada, lab.public_id)) - before

    assert told() == 1
    # Led elsewhere by a token that may not read lab's, it hears nothing of lab's any more; by ada herself, again.
    write(webhooks.update_webhook, narrow, lab.public_id, WebhookFields(url=receiver.url))
    assert told() == 0
    write(webhooks.update_webhook, ada, lab.public_id, WebhookFields(url=receiver.url))
    assert told() == 1


def open_one(world: World, actor="ada", title="A question"):
    world.site.db.write(
        discussions.open_discussion, world.person(actor), MODEL, RIVER, title=title, body="text", now=NOW
    )


def run_jobs(world: World) -> int:
    return queue.Runner(world.site.db, OUTBOUND_HANDLERS, world.site).run_all()


def last_delivery(world: World, name="bob"):
    actor = world.person(name)
    hook = world.site.db.read(webhooks.list_webhooks, actor)[0]
    return hook, world.site.db.read(webhooks.list_deliveries, actor, hook.public_id)


def test_a_delivery_is_signed_and_reads_as_the_clients_payload(listening: World, receiver: Receiver):
    from huggingface_hub import WebhookPayload

    open_one(listening)
    assert run_jobs(listening) == 1
    (got,) = receiver.received
    payload = WebhookPayload.model_validate(got.json)
    assert (payload.event.action, payload.event.scope) == ("create", "discussion")
    assert (payload.repo.name, payload.repo.type) == ("ada/river", "model")
    assert payload.discussion.url.web == "http://hub.test/ada/river/discussions/1"
    assert payload.comment.content == "text"
    timestamp = got.headers["X-Headwater-Timestamp"]
    wanted = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-Headwater-Signature"] == f"v1={wanted}"
    assert got.headers["X-Webhook-Secret"] == SECRET
    assert abs(time.time() - int(timestamp)) < 60
    hook, (delivery,) = last_delivery(listening)
    assert (delivery.state, delivery.http_status, delivery.n_attempts) == ("done", 200, 1)
    assert delivery.answer.startswith("thank you")
    assert len(delivery.answer) <= 500
    assert hook.public_id == payload.webhook.id


def test_pushes_tell_which_refs_moved(listening: World, receiver: Receiver):
    repo = listening.repo("ada/lake")
    receiver.received.clear()
    run_jobs(listening)
    receiver.received.clear()
    ada = listening.person("ada")
    commit = listening.commit(ada, repo, "refs/heads/main", {"a.txt": b"a"}, "Add a")
    run_jobs(listening)
    (got,) = [one.json for one in receiver.received]
    assert got["event"] == {"action": "update", "scope": "repo.content"}
    assert got["updatedRefs"] == [{"ref": "refs/heads/main", "oldSha": repo.head_commit, "newSha": commit}]
    assert got["repo"]["headSha"] == commit


def test_a_commit_to_a_pull_request_is_told_as_a_discussion(listening: World, receiver: Receiver):
    ada = listening.person("ada")
    repo, made = listening.site.db.write(pulls.open_pull_request, ada, MODEL, RIVER, title="A change", body="", now=NOW)
    listening.commit(ada, repo, made.ref, {"a.txt": b"a"}, "Add a")
    run_jobs(listening)
    told = [(one.json["event"]["action"], one.json["event"]["scope"]) for one in receiver.received]
    assert ("create", "discussion") in told
    assert ("update", "discussion") in told
    pulled = next(one.json for one in receiver.received if "discussion" in one.json)
    assert pulled["discussion"]["changes"]["base"] == "refs/heads/main"


def test_domains_narrow_what_is_heard(world: World, receiver: Receiver):
    world.site.settings = Settings([WebhookSettings(allow=("127.0.0.1",))])
    world.repo("ada/river")
    listen(world, "bob", receiver.url, domains=["repo"])
    open_one(world)
    assert run_jobs(world) == 0


def test_who_may_not_read_hears_nothing(listening: World, receiver: Receiver):
    listening.repo("ada/river2", is_private=True)
    listening.site.db.write(
        discussions.open_discussion,
        listening.person("ada"),
        MODEL,
        RepoName("ada", "river2"),
        title="Secret",
        body="",
        now=NOW,
    )
    run_jobs(listening)
    assert not [one for one in receiver.received if "river2" in one.body.decode()]


def test_a_private_repository_cannot_be_watched_by_strangers(world: World):
    world.repo("ada/river", is_private=True)
    with pytest.raises(RepositoryNotFound):
        listen(world, "bob", "https://example.org/", watched=(("model", "ada/river"),))
    with pytest.raises(accounts.AccountNotFound):
        listen(world, "bob", "https://example.org/", watched=(("user", "nobody"),))
    with pytest.raises(BadWebhook):
        listen(world, "bob", "https://example.org/", watched=())


def test_a_failure_is_tried_again_later_and_given_up_in_the_end(listening: World, receiver: Receiver, monkeypatch):
    receiver.statuses = [500, 503]
    open_one(listening)
    assert run_jobs(listening) == 1
    assert run_jobs(listening) == 0  # the next attempt is not due yet
    assert last_delivery(listening)[1][0].state == "waiting"
    monkeypatch.setattr(deliveries, "RETRY_AFTER_S", (0,))
    _, (waiting,) = last_delivery(listening)
    for _ in range(2):
        deliveries.send_webhook(listening.site, {"delivery_id": waiting.id})
    hook, (delivery,) = last_delivery(listening)
    assert (delivery.state, delivery.n_attempts, delivery.http_status) == ("done", 3, 200)
    ids = {one.headers["X-Headwater-Delivery"] for one in receiver.received}
    assert ids == {delivery.public_id}
    receiver.statuses = [500] * 10
    open_one(listening, title="Another")
    run_jobs(listening)
    _, (failed, _) = last_delivery(listening)
    assert (failed.state, failed.n_attempts) == ("failed", deliveries.MAX_ATTEMPTS)
    assert not hook.is_disabled


def test_a_receiver_that_is_long_dead_is_not_called_any_more(listening: World, receiver: Receiver, monkeypatch):
    monkeypatch.setattr(deliveries, "MAX_ATTEMPTS", 1)
    monkeypatch.setattr(deliveries, "DISABLE_AFTER", 2)
    receiver.statuses = [500] * 2
    for n in range(3):
        open_one(listening, title=f"Number {n}")
        run_jobs(listening)
    assert len(receiver.received) == 2
    hook, found = last_delivery(listening)
    assert hook.is_disabled
    actor = listening.person("bob")
    assert not listening.site.db.write(webhooks.set_enabled, actor, hook.public_id, enabled=True).is_disabled
    listening.site.db.write(webhooks.send_again, actor, hook.public_id, found[0].public_id, now=NOW)
    run_jobs(listening)
    assert last_delivery(listening)[1][0].state == "done"


def test_redirects_are_answers_like_others(listening: World, receiver: Receiver):
    receiver.location = "http://127.0.0.1:1/elsewhere"
    open_one(listening)
    run_jobs(listening)
    _, (delivery,) = last_delivery(listening)
    assert (delivery.state, delivery.http_status) == ("waiting", 302)
    assert len(receiver.received) == 1


def test_an_endless_answer_ends(listening: World, receiver: Receiver, monkeypatch):
    monkeypatch.setattr(outbound, "TOTAL_TIMEOUT_S", 0.5)
    receiver.drip = True
    open_one(listening)
    started = time.monotonic()
    run_jobs(listening)
    assert time.monotonic() - started < 5
    _, (delivery,) = last_delivery(listening)
    assert delivery.state == "waiting"
    assert delivery.http_status is None


def test_loopback_is_refused_unless_a_setting_names_it(world: World, receiver: Receiver):
    world.repo("ada/river")
    listen(world, "bob", receiver.url)
    open_one(world)
    run_jobs(world)
    _, (delivery,) = last_delivery(world)
    assert delivery.state == "failed"
    assert "HEADWATER_WEBHOOK_ALLOW" in delivery.answer
    assert receiver.received == []


def test_a_name_that_leads_inside_is_refused_and_never_connected_to(world: World, receiver: Receiver):
    port = receiver.url.rsplit(":", 1)[1].split("/")[0]
    with pytest.raises(AddressRefused):
        outbound.post(f"http://localhost:{port}/", b"{}", {}, allowed=Allowed())
    assert receiver.received == []
    # The allowed name is looked up once, and its address used.
    answer = outbound.post(f"http://localhost:{port}/x", b"{}", {}, allowed=Allowed.parse(["localhost"]))
    assert answer.is_success
    assert receiver.received[0].headers["Host"] == f"localhost:{port}"


def test_a_second_look_up_cannot_lead_elsewhere(monkeypatch, receiver: Receiver):
    port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    asked, dialled = [], []

    def look_up(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def dial(self, where):
        dialled.append(where[0])
        raise OSError("no route")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", dial)
    with pytest.raises(OSError, match="no route"):
        outbound.post(f"http://rebind.test:{port}/", b"{}", {}, allowed=Allowed())
    assert (asked, dialled) == (["rebind.test"], ["93.184.216.34"])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1", "fc00::1", "fd12::1", "ff02::1",
        "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378::1", "fec0::1",
        "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_do_not_leave_for_the_internet_are_refused(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_pass(address):
    assert is_public(ipaddress.ip_address(address))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_every_address_is_judged(address):
    public = is_public(address)
    if address.is_loopback or address.is_private or address.is_link_local or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)
        assert not public or (mapped is not None and mapped.is_global)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "http://", "https://user:pw@example.org/", "http://exa mple.org/", "http://h:99999/", "x", "http://h/" + "x" * 3000],
)  # fmt: skip
def test_bad_urls_are_refused_at_once(world: World, url):
    world.person("ada")
    with pytest.raises(BadWebhook):
        listen(world, "bob", url)


def test_webhooks_of_others_are_not_there(world: World):
    world.person("ada")
    hook = listen(world, "bob", "https://example.org/")
    for act in (webhooks.get_webhook, webhooks.list_deliveries):
        with pytest.raises(WebhookNotFound):
            world.site.db.read(act, world.person("eve"), hook.public_id)
    with pytest.raises(WebhookNotFound):
        world.site.db.write(webhooks.delete_webhook, world.person("eve"), hook.public_id)


def test_the_log_is_bounded(listening: World, monkeypatch):
    monkeypatch.setattr(webhooks, "KEPT_DELIVERIES", 3)
    for n in range(6):
        open_one(listening, title=f"Number {n}")
    run_jobs(listening)
    assert len(last_delivery(listening)[1]) == 3


def test_a_suspended_listener_hears_nothing(listening: World):
    listening.site.db.write(accounts.suspend, SYSTEM, "bob", now=datetime(2026, 1, 2, tzinfo=UTC))
    open_one(listening)
    assert run_jobs(listening) == 0


def test_repositories_tell_when_they_come_change_and_go(listening: World, receiver: Receiver):
    ada, lake = listening.person("ada"), RepoName("ada", "lake")
    listening.repo("ada/lake")
    settings = repos.Settings(gated="auto")
    listening.site.db.write(repos.change_settings, ada, MODEL, lake, settings, now=NOW)
    listening.site.db.write(repos.move_repository, ada, MODEL, lake, RepoName("ada", "sea"), now=NOW)
    listening.site.db.write(repos.delete_repository, ada, MODEL, RepoName("ada", "sea"), now=NOW)
    run_jobs(listening)
    told = [(one.json["event"]["action"], one.json["event"]["scope"], one.json) for one in receiver.received]
    assert [(action, scope) for action, scope, _ in told if scope != "repo.content"] == [
        ("create", "repo"),
        ("update", "repo.config"),
        ("move", "repo"),
        ("delete", "repo"),
    ]
    assert next(body for action, _, body in told if action == "move")["movedTo"]["name"] == "ada/sea"


def test_a_repository_that_turns_private_falls_silent(listening: World, receiver: Receiver):
    settings = repos.Settings(is_private=True)
    listening.site.db.write(repos.change_settings, listening.person("ada"), MODEL, RIVER, settings, now=NOW)
    open_one(listening)
    assert run_jobs(listening) == 0
    assert receiver.received == []
