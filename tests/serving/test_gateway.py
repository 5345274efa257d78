"""The gateway through the real client: what it answers, refuses, counts and limits."""

from __future__ import annotations

import csv
import io
import json
import math
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from headwater import accounts
from headwater.accounts.models import Role
from headwater.kernel import SYSTEM, utcnow
from headwater.serving import processes
from headwater.serving.tables import endpoint_state, gateway_exchange
from tests.conftest import wait_for
from tests.serving.conftest import Serving

pytestmark = pytest.mark.models
HELLO = [{"role": "user", "content": "你好"}]


def ask(serving: Serving, user: str = "ada", scope: str = "infer", **more: Any) -> httpx.Response:
    body = {"model": "ada/tiny", "messages": HELLO, "max_tokens": 4, "temperature": 0} | more
    return serving.api("POST", "/v1/chat/completions", user, scope, json=body)


def test_a_chat_is_answered_whole(serving: Serving) -> None:
    client = serving.client()
    assert "ada/tiny" in [one.id for one in client.models.list()]
    assert client.models.retrieve("ada/tiny").owned_by == "ada"
    answer = client.chat.completions.create(model="ada/tiny", messages=HELLO, max_tokens=12, temperature=0)
    assert answer.model == "ada/tiny"
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.completion_tokens == 12 == answer.usage.total_tokens - answer.usage.prompt_tokens
    whole = client.completions.create(model="ada/tiny", prompt="abc", max_tokens=5, temperature=0)
    assert whole.usage.prompt_tokens == 3
    assert whole.choices[0].finish_reason == "length"


def test_a_stream_says_the_same_and_tells_usage_where_it_is_asked_for(serving: Serving) -> None:
    client, given = serving.client(), {"model": "ada/tiny", "messages": HELLO, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**given)
    plain = list(client.chat.completions.create(**given, stream=True))
    told = list(client.chat.completions.create(**given, stream=True, stream_options={"include_usage": True}))
    for chunks in (plain, told):
        text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
        assert text == whole.choices[0].message.content
    assert all(one.choices and one.usage is None for one in plain)
    assert told[-1].choices == []
    assert told[-1].usage == whole.usage
    raw = ask(serving, stream=True)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n")
    assert '"usage"' not in raw.text


def test_what_is_wrong_is_said_in_the_shape_that_clients_know(serving: Serving) -> None:
    from openai import AuthenticationError, BadRequestError, NotFoundError, PermissionDeniedError

    client = serving.client()
    url, key = f"{serving.app.url}/v1/chat/completions", serving.app.token("ada", "infer")
    wrong: list[tuple[bytes, str | None]] = [
        (b"{", None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model":"ada/tiny"}', "messages"),
        (b'{"model":"ada/tiny","messages":[]}', "messages"),
        (b'{"model":"ada/tiny","messages":[{"role":"king","content":"x"}]}', "messages[0].role"),
        (b'{"model":"ada/tiny","messages":[{"role":"user","content":3}]}', "messages[0].content"),
        (b'{"model":"ada/tiny","messages":[{"role":"user","content":"x"}],"temperature":9}', "temperature"),
        (b'{"model":"ada/tiny","messages":[{"role":"user","content":"x"}],"max_tokens":-1}', "max_tokens"),
        (b'{"model":"ada/tiny","messages":[{"role":"user","content":"x"}],"tools":[{}]}', "tools[0]"),
        (
            b'{"model":"ada/tiny","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x/"}}]}]}',
            "messages[0].content",
        ),
    ]
    for body, param in wrong:
        answer = httpx.post(url, content=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 400, body
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["param"]) == ("invalid_request_error", param), body
    many: list[tuple[dict[str, Any], str]] = [
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": [2**40]}, "prompt"),
    ]
    for given, param in many:
        answer = serving.api("POST", "/v1/completions", scope="infer", json={"model": "ada/tiny", **given})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    large = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"pattern": "(" * (1 << 18)}}}
    assert ask(serving, response_format=large).status_code == 400
    with pytest.raises(NotFoundError) as missing:
        client.chat.completions.create(model="ada/none", messages=HELLO)
    assert missing.value.code == "model_not_found"
    long = [{"role": "user", "content": "x" * 9000}]
    for streams in (False, True):
        with pytest.raises(BadRequestError) as over:
            client.chat.completions.create(model="ada/tiny", messages=long, stream=streams)
        assert over.value.code == "context_length_exceeded"
    with pytest.raises(BadRequestError) as other:
        client.embeddings.create(model="ada/tiny", input="x")
    assert other.value.code == "wrong_task"
    for bad in ("hw_nonsense", "sk-1"):
        with pytest.raises(AuthenticationError) as denied:
            client.with_options(api_key=bad).models.list()
        assert denied.value.code == "invalid_api_key"
    with pytest.raises(PermissionDeniedError):
        serving.client(scope="read").chat.completions.create(model="ada/tiny", messages=HELLO)
    assert httpx.get(f"{serving.app.url}/v1/models").json()["error"]["code"] == "invalid_api_key"
    nothing = serving.api("POST", "/v1/images/generations", json={})
    assert nothing.status_code == 404
    assert nothing.json()["error"]["type"] == "invalid_request_error"


def test_a_key_for_models_reads_nothing_else(serving: Serving) -> None:
    hf = serving.app.hf("ada")
    hf.create_repo("ada/hidden", private=True, exist_ok=True)
    key = {"Authorization": f"Bearer {serving.app.token('ada', 'infer')}"}
    for path in ("/api/models/ada/hidden", "/api/models/ada/hidden/tree/main"):
        assert httpx.get(f"{serving.app.url}{path}", headers=key).status_code in (401, 404)
    body = {"name": "x"}
    assert httpx.post(f"{serving.app.url}/api/repos/create", headers=key, json=body).status_code == 403
    stop = serving.api("POST", "/api/v1/endpoints/ada/tiny/stop", scope="infer")
    assert stop.status_code == 403
    assert [one["id"] for one in httpx.get(f"{serving.app.url}/api/models", headers=key).json()].count(
        "ada/hidden"
    ) == 0


def test_what_members_serve_others_do_not_find(serving: Serving) -> None:
    wish = {"model": "ada/tiny", "owner": "lab", "name": "inner", "engine": "transformers", "starts": False}
    serving.create(**wish)
    answers = [ask(serving, "eve", model=name) for name in ("lab/inner", "lab/nothing")]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].text.replace("inner", "nothing") == answers[1].text
    assert "lab/inner" not in serving.api("GET", "/v1/models", "eve").text
    assert serving.api("GET", "/api/v1/endpoints/lab/inner", "eve").status_code == 404
    serving.app.add_member("lab", "bob", Role.READ)
    assert ask(serving, "bob", model="lab/inner").json()["error"]["code"] == "endpoint_stopped"
    assert serving.api("POST", "/api/v1/endpoints/lab/inner/start", "bob").status_code == 403
    again = serving.api("POST", "/api/v1/endpoints", json=wish)
    assert again.status_code == 409


def test_who_may_not_see_a_model_is_told_nothing_of_it(serving: Serving, tiny_folder: Path) -> None:
    hf = serving.app.hf("ada")
    hf.create_repo("ada/secret", private=True)
    hf.upload_folder(repo_id="ada/secret", folder_path=tiny_folder)
    serving.create(model="ada/secret", owner="lab", name="shut", engine="transformers", starts=False)
    serving.app.add_person("cleo")
    serving.app.add_member("lab", "cleo", Role.WRITE)
    acts = [("GET", ""), ("POST", "/stop"), ("GET", "/log")]
    for method, path in acts:
        answer = serving.api(method, f"/api/v1/endpoints/lab/shut{path}", "cleo")
        assert answer.status_code == 200, answer.text
        assert "secret" not in answer.text
    assert serving.api("POST", "/api/v1/endpoints/lab/shut/stop").json()["repository"] == "ada/secret"


def test_limits_are_kept_and_told(serving: Serving) -> None:
    from openai import RateLimitError

    with serving.app.opened() as site:
        made = site.db.write(accounts.create_token, SYSTEM, owner="bob", name="a new one", role="infer", now=utcnow())
    client = serving.client("bob").with_options(api_key=made.secret)
    path = f"/api/v1/serving/limits/token/{made.info.id}"
    assert serving.api("PUT", path, "eve", "admin", json={"requests_minute": 1}).status_code == 404
    limits = {"requests_minute": 3, "tokens_day": 1000}
    done = serving.api("PUT", path, "bob", "admin", json=limits)
    assert done.status_code == 200, done.text
    heads = []

    def go_on(times: int) -> None:
        for _ in range(times):  # each of two workers may count some for itself
            raw = client.chat.completions.with_raw_response.create(model="ada/tiny", messages=HELLO, max_tokens=4)
            heads.append(raw.headers)

    with pytest.raises(RateLimitError) as refused:
        go_on(8)
    assert 3 <= len(heads) <= 6
    assert heads[0]["x-ratelimit-limit-requests"] == "3"
    assert int(heads[-1]["x-ratelimit-remaining-tokens"]) < int(heads[0]["x-ratelimit-limit-tokens"]) == 1000
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 61
    serving.api("PUT", path, "bob", "admin", json={"tokens_minute": 1})
    with pytest.raises(RateLimitError) as over:
        go_on(4)
    assert over.value.type == "tokens"
    bad = serving.api("PUT", path, "bob", "admin", json={"tokens_minute": -1, "more": 2})
    assert bad.json()["code"] == "bad_endpoint"
    assert "tokens_minute" in bad.json()["error"]
    assert "'more'" in bad.json()["error"]
    assert serving.api("PUT", path, "bob", "admin", json=None).status_code in (200, 400)
    serving.api("PUT", path, "bob", "admin", content=b"null")
    assert serving.api("GET", path, "bob", "admin").json() is None
    client.chat.completions.create(model="ada/tiny", messages=HELLO, max_tokens=4)


def test_an_organisation_and_an_account_have_limits_of_their_own(serving: Serving) -> None:
    """Of what is stopped, too: whoever asks that again and again is held back as well."""
    serving.app.add_person("mia")
    serving.create(model="ada/tiny", owner="lab", name="few", engine="transformers", access="everyone", starts=False)

    def codes(user: str, n: int) -> list[str]:
        return [ask(serving, user, model="lab/few").json()["error"]["code"] for _ in range(n)]

    owner, account = "/api/v1/serving/limits/owner/lab", "/api/v1/serving/limits/account/mia"
    for user, path in (("mia", owner), ("bob", account), ("mia", account)):
        refused = serving.api("PUT", path, user, "admin", json={"requests_day": 1})
        assert refused.status_code in (403, 404), (user, path)
    assert serving.api("PUT", owner, "ada", "admin", json={"requests_day": 3}).status_code == 200
    found = codes("mia", 4) + codes("bob", 4)  # all who ask it, together
    assert found[:3] == ["endpoint_stopped"] * 3
    assert found[6:] == ["rate_limit_exceeded"] * 2
    over = ask(serving, "bob", model="lab/few")
    assert (over.status_code, over.json()["error"]["type"]) == (429, "requests")
    assert "everyone together at lab" in over.json()["error"]["message"]
    assert 60 < int(over.headers["retry-after"]) <= 86_400 or time.time() % 86_400 > 86_340
    assert over.headers["x-ratelimit-limit-requests"] == "3"
    assert ask(serving, "bob").status_code == 200  # others' models are not lab's
    assert serving.api("PUT", account, "ada", "admin", json={"requests_minute": 1}).status_code == 200
    try:
        answers = [ask(serving, "mia") for _ in range(3)]
        assert answers[-1].status_code == 429
        assert "the account mia" in answers[-1].json()["error"]["message"]
    finally:
        for path in (owner, account):
            serving.api("PUT", path, "ada", "admin", content=b"null")
    assert ask(serving, "mia").status_code == 200


def test_use_is_counted_by_whom_and_which_key(serving: Serving) -> None:
    def lines() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = serving.api("GET", "/api/v1/serving/usage?days=1", "eve", "admin").json()
        return found

    assert lines() == []
    usage = ask(serving, "eve").json()["usage"]
    ask(serving, "eve", stream=True)
    found = wait_for(lambda: [one for one in lines() if one["n_requests"] == 2], what="two requests being counted")
    (line,) = found
    assert (line["model"], line["person"], line["token"]) == ("ada/tiny", "eve", "infer for tests")
    assert line["prompt_tokens"] == 2 * usage["prompt_tokens"]
    assert line["completion_tokens"] == 2 * usage["completion_tokens"]
    text = serving.api("GET", "/api/v1/serving/usage?days=1&format=csv&by=minute", "eve", "admin").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum(int(row["requests"]) for row in rows) == 2
    seen = serving.api("GET", "/api/v1/serving/usage?days=1", "ada", "admin").json()
    assert any(one["person"] == "eve" for one in seen)  # whose endpoint it is sees who uses it
    theirs = [one for one in seen if one["person"] == "eve"]
    assert theirs, "whose endpoint it is sees who uses it"
    assert [(one["token"], one["token_id"]) for one in theirs] == [(None, None)] * len(theirs), "and not by which key"
    assert not any(one["person"] == "ada" for one in lines())
    assert serving.api("GET", "/api/v1/serving/usage?of=ada", "eve", "admin").status_code == 403


def test_nothing_that_is_asked_is_kept_unless_the_owner_wants_it(serving: Serving) -> None:
    def holds(word: str) -> list[Path]:
        data = [path for path in serving.app.data.rglob("*") if path.is_file()]
        return [path for path in [*data, serving.app.log_path] if word.encode() in path.read_bytes()]

    for word, streams in (("quicksilverwhole", False), ("quicksilverstream", True)):
        ask(serving, messages=[{"role": "user", "content": word}], stream=streams)
        assert holds(word) == []
    assert serving.api("PATCH", "/api/v1/endpoints/ada/tiny", "eve", json={"keeps_contents": True}).status_code == 403
    done = serving.api("PATCH", "/api/v1/endpoints/ada/tiny", json={"keeps_contents": True})
    assert done.json()["keeps_contents"] is True
    try:
        ask(serving, messages=[{"role": "user", "content": "ambergris"}])
        with serving.app.opened() as site:
            act = lambda tx: [row.request for row in tx.execute(gateway_exchange.select())]  # noqa: E731
            kept = wait_for(lambda: site.db.read(act), what="an exchange being kept")
        assert json.loads(kept[0])["messages"][0]["content"] == "ambergris"
    finally:
        serving.api("PATCH", "/api/v1/endpoints/ada/tiny", json={"keeps_contents": False})


def test_whoever_leaves_ends_what_is_made_for_them(serving: Serving) -> None:
    with serving.app.opened() as site:
        row = site.db.read(lambda tx: tx.execute(endpoint_state.select()).first())

    def cpu_s() -> float:
        fields = Path(f"/proc/{row.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def rests() -> bool:
        before = cpu_s()
        time.sleep(0.4)
        return cpu_s() - before < 0.1

    def works(since: float) -> bool:
        return cpu_s() - since > 0.2

    host, port = serving.app.url.removeprefix("http://").split(":")
    for streams in (True, False, False):
        assert ask(serving).status_code == 200  # leaves a connection to the engine that is used again
        wait_for(rests, what="the engine resting")
        body = json.dumps({"model": "ada/tiny", "messages": HELLO, "max_tokens": 7000, "stream": streams}).encode()
        key = serving.app.token("ada", "infer")
        before = cpu_s()
        with socket.create_connection((host, int(port))) as sock:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            if streams:
                assert b"200" in sock.recv(400)
            wait_for(partial(works, before), what="the engine working")
        left = cpu_s()
        wait_for(rests, timeout_s=60, what="the engine resting once the client has left")
        assert cpu_s() - left < 4  # the whole answer takes three times that
    assert processes.started_at(row.pid) == row.pid_started  # it was the answer that ended, not the engine


def test_embeddings_are_means_of_length_one(serving: Serving) -> None:
    serving.create(model="ada/tiny", name="vectors", engine="transformers", task="embed")
    client = serving.client()
    found = client.embeddings.create(model="ada/vectors", input=["水", "水", "a river"])
    assert [one.index for one in found.data] == [0, 1, 2]
    first, second, third = (one.embedding for one in found.data)
    assert math.isclose(sum(each * each for each in first), 1, rel_tol=1e-4)
    assert first == second != third
    plain = client.embeddings.create(model="ada/vectors", input="水", encoding_format="float").data[0].embedding
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(plain, first, strict=True))
    assert found.usage.prompt_tokens == found.usage.total_tokens > 0
    assert serving.api("DELETE", "/api/v1/endpoints/ada/vectors").status_code == 204
    assert ask(serving, model="ada/vectors").status_code == 404
