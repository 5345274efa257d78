"""What can be looked at alone: the usage event on its way, limits shared by processes, which engine and file are chosen."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.db import Database
from headwater.kernel import Settings, utcnow
from headwater.serving import engines, store, usage_store
from headwater.serving.engines import llama
from headwater.serving.errors import EndpointNameTaken, EngineMissing, NotServable, RateLimited
from headwater.serving.gateway.limits import DAY_S, MINUTE_S, Budget, Subject, Taken
from headwater.serving.gateway.relay import Events, _refusal_of
from headwater.serving.models import Limits, Used
from headwater.serving.program.local_engine import Pieces, _tool_calls
from headwater.serving.settings import LlamaSettings
from tests.storage import make_storage

START = 1_800_000_000.0 - 1_800_000_000 % DAY_S


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


PIECES = [event({"choices": [{"delta": {"content": text}}]}) for text in ("水", 'say "usage": 1\n\n', "end")]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
LAST = event({"choices": [], "usage": USAGE})
STREAM = b"".join(PIECES) + LAST + b"data: [DONE]\n\n"


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12), st.booleans())
def test_a_stream_cut_anywhere_leaves_whole_and_without_what_was_not_asked_for(cuts: list[int], wants: bool) -> None:
    under_way: Any = SimpleNamespace(asked=SimpleNamespace(wants_usage=wants), n_events=0, usage=None)
    events = Events(under_way)
    places = [0, *sorted(cuts), len(STREAM)]
    out = b"".join(events.feed(STREAM[a:b]) for a, b in itertools.pairwise(places) if a < b) + events.end()
    assert out == (STREAM if wants else STREAM.replace(LAST, b""))
    assert under_way.usage == USAGE


def test_an_answer_that_breaks_off_leaves_as_far_as_it_came() -> None:
    under_way: Any = SimpleNamespace(asked=SimpleNamespace(wants_usage=False), n_events=0, usage=None)
    events = Events(under_way)
    assert events.feed(PIECES[0] + PIECES[1][:9]) == PIECES[0]
    assert events.end() == PIECES[1][:9]


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    storage = make_storage(tmp_path / "data")
    yield storage.site.db
    storage.site.db.close()


def settle_all(budget: Budget) -> None:
    """What was told has been written, and its answer heard; that may tell once more."""
    for _ in range(2):
        budget._db.submit(lambda _tx: None).result()


def through(budget: Budget, subject: Subject, n: int) -> int:
    done = 0
    for _ in range(n):
        try:
            budget.take([subject], 0)
        except RateLimited:
            continue
        done += 1
        settle_all(budget)
    return done


def test_two_processes_let_through_what_one_may_and_a_little(db: Database) -> None:
    clock = Clock()
    one, two = Budget(db, clock), Budget(db, clock)
    mine = Subject("t1", "this key", Limits(requests_minute=10))
    got = sum(through(random.choice((one, two)), mine, 1) for _ in range(60))
    assert 10 <= got <= 12
    clock.now += MINUTE_S
    assert through(one, mine, 30) == 10
    other = Subject("t2", "this key", Limits(requests_minute=10))
    assert through(two, other, 3) == 3


def test_tokens_are_counted_as_they_turn_out(db: Database) -> None:
    clock = Clock()
    budget = Budget(db, clock)
    mine = Subject("t1", "this key", Limits(tokens_day=100))
    long = budget.take([mine], 4 * 90)
    assert long.headers["x-ratelimit-remaining-tokens"] == "9"
    with pytest.raises(RateLimited):
        [budget.take([mine], 40) for _ in range(3)]
    budget.settle(long, 20)  # it was much less
    taken: Taken = budget.take([mine], 0)
    budget.settle(taken, 90)
    with pytest.raises(RateLimited) as over:
        budget.take([mine], 0)
    assert over.value.what == "tokens"
    assert int(over.value.headers["Retry-After"]) > DAY_S - 60
    settle_all(budget)
    after = Budget(db, clock)  # a process that was just started has counted nothing itself
    after.settle(after.take([mine], 0), 3)
    settle_all(after)
    with pytest.raises(RateLimited):
        after.take([mine], 0)


def test_sums_are_by_day_or_minute_person_and_key(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "data")
    site, now = storage.site, utcnow()
    ada, bob = storage.person("ada"), storage.person("bob")
    repo = storage.repo("ada", "tiny")
    values = {
        "owner_id": ada.account_id, "name": "Tiny", "name_key": "tiny", "repo_id": repo, "commit_id": "0" * 40,
        "engine": "llama.cpp", "task": "generate", "access": "everyone", "context_tokens": 64, "slots": 1, "idle_s": 0,
        "wanted": "running", "created_by": ada.account_id, "created_at": now, "changed_at": now,
    }  # fmt: skip
    number = site.db.write(store.insert_endpoint, values, now=now)
    with pytest.raises(EndpointNameTaken):
        site.db.write(store.insert_endpoint, values | {"name": "tinY"}, now=now)
    day = int(now.timestamp()) // 86_400 * 1440
    for minute, who, n in ((day, ada, 1), (day, bob, 2), (day + 1, bob, 3), (day + 1, bob, 4)):
        used = Used(1, 0, n, 10 * n, 5, 9)
        site.db.write(usage_store.add_usage, number, who.account_id or 0, 0, minute, used, now=now)

    def lines(**more: Any) -> list[tuple[int, str, int, int]]:
        found = site.db.read(usage_store.list_usage, since=day - 9, until=day + 1440, limit=9, **more)
        assert {one.model for one in found} == {"ada/Tiny"}
        return [(one.moment // 60 - day, one.person, one.used.n_requests, one.used.completion_tokens) for one in found]

    assert lines(account_id=ada.account_id) == [(0, "ada", 1, 10), (0, "bob", 3, 90)]
    assert lines(account_id=bob.account_id) == [(0, "bob", 3, 90)]
    for who, n_requests, n_tokens in ((ada, 4, 100), (bob, 3, 90)):
        total = site.db.read(usage_store.total, since=day - 9, until=day + 1440, account_id=who.account_id)
        assert (total.n_requests, total.completion_tokens) == (n_requests, n_tokens)
    assert lines(account_id=bob.account_id, by_s=60) == [(1, "bob", 2, 70), (0, "bob", 1, 20)]
    assert site.db.read(usage_store.sums_of, number, since=day + 1).prompt_tokens == 7
    served = site.db.read(store.find_by_name, "ada", "tiny")
    assert served is not None
    assert served.endpoint.model == "ada/Tiny"
    assert served.standing.last_used_at is not None
    for limits in (Limits(1, 2, 3, 4), Limits(5), None):
        site.db.write(usage_store.put_limits, "token", 7, limits, by="ada", now=now)
        found = site.db.read(usage_store.limits_of, [("token", 7), ("owner", 1)])
        assert found == ({} if limits is None else {("token", 7): limits})
    site.db.write(usage_store.add_exchange, number, ada.account_id or 0, "a\0b", "c" * 70_000, now=now)
    ((person, _, asked, answer),) = site.db.read(usage_store.list_exchanges, number)
    assert (person, asked, len(answer)) == ("ada", "a\ufffdb", 64 * 1024)
    site.db.write(usage_store.sweep, now=now + timedelta(days=500))
    assert site.db.read(usage_store.list_exchanges, number) == []
    assert site.db.read(usage_store.sums_of, number, since=0) == Used()
    site.db.close()


def test_one_supervisor_holds_an_endpoint(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "data")
    db, now = storage.site.db, utcnow()
    ada = storage.person("ada")
    values = {
        "owner_id": ada.account_id, "name": "x", "name_key": "x", "repo_id": storage.repo("ada", "x"), "commit_id": "0" * 40,
        "engine": "llama.cpp", "task": "generate", "access": "everyone", "context_tokens": 64, "slots": 1, "idle_s": 0,
        "wanted": "running", "created_by": ada.account_id, "created_at": now, "changed_at": now,
    }  # fmt: skip
    number = db.write(store.insert_endpoint, values, now=now)

    def take(holder: str, *, former: str | None = None, after_s: float = 0) -> bool:
        moment = now + timedelta(seconds=after_s)
        return bool(db.write(store.take, number, holder, former, now=moment, lease_s=30))

    assert take("one")
    assert not take("two")
    assert take("one", after_s=20)
    assert not take("two", after_s=49)
    assert take("two", after_s=51)
    assert not db.write(store.write_held, number, "one", {"state": "failed"})
    assert db.write(store.write_held, number, "two", {"state": "ready"})
    assert take("three", former="two", after_s=52)  # whose process is no more
    assert not db.write(store.put_to_sleep, number, "three", now, now=now)  # it was used since, as seen here: never
    assert db.write(store.put_to_sleep, number, "three", None, now=now)
    db.write(store.release, "three")
    assert take("four", after_s=53)
    assert [one.endpoint.id for one in db.read(store.list_for_supervisor, "nobody")] == [number]
    db.write(store.change, number, {"wanted": "stopped"}, now=now)
    assert not db.write(
        store.write_held, number, "four", {"state": "starting"}
    )  # read before it was stopped, and written after
    assert db.write(store.write_held, number, "four", {"state": "stopped", "pid": None})
    assert db.write(store.write_held, number, "four", {"log_tail": "its last words"})
    db.close()


def files(*names: str) -> list[tuple[str, int]]:
    return [(name, 100 + n) for n, name in enumerate(names)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    program = tmp_path / "llama-server"
    program.write_text("")
    return Settings([LlamaSettings(server=str(program))])


def test_the_engine_and_the_file_follow_from_what_is_there(settings: Settings) -> None:
    def chosen(*names: str, engine: str = "", file: str | None = None) -> tuple[str, str | None]:
        found = engines.choose(settings, files(*names), engine=engine, file=file, repo="a/b")
        return found.engine, found.file

    many = ("m-f16.gguf", "m-Q8_0.gguf", "m-q4_k_m.gguf", "mmproj-m.gguf", "README.md")
    assert chosen(*many) == ("llama.cpp", "m-q4_k_m.gguf")
    assert chosen("m-f16.gguf", "m-Q8_0.gguf") == ("llama.cpp", "m-Q8_0.gguf")
    assert chosen(*many, file="m-f16.gguf") == ("llama.cpp", "m-f16.gguf")
    parts = [f"big-{n:05}-of-00003.gguf" for n in (1, 2, 3)]
    assert chosen(*parts) == ("llama.cpp", parts[0])
    refused: list[dict[str, Any]] = [
        {"names": ("README.md",)},
        {"names": ("mmproj-m.gguf",)},
        {"names": many, "file": "none.gguf"},
        {"names": many, "file": "README.md"},
        {"names": tuple(parts[:2])},
        {"names": ("model.safetensors", "config.json"), "engine": "llama.cpp"},
        {"names": ("model.safetensors",), "engine": "transformers"},
    ]
    for wrong in refused:
        with pytest.raises(NotServable):
            chosen(*wrong.pop("names"), **wrong)


def test_an_engine_that_is_not_here_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(EngineMissing, match="headwater engine install"):
        engines.choose(Settings(), files("m.gguf"), engine="", file=None, repo="a/b")
    for version in ("9.0.0", "11434.0.0", "11433.0.0"):
        folder = llama.cache_folder() / version / "bin"
        folder.mkdir(parents=True)
        (folder / "llama-server").write_text("")
        (folder / "llama-server").chmod(0o755)
    assert llama.find(Settings()) == tmp_path / "headwater/engines/llama.cpp/11434.0.0/bin/llama-server"


def test_refusals_of_engines_become_the_gateways_own() -> None:
    over = {
        "error": {"code": 400, "type": "exceed_context_size_error", "message": "x", "n_prompt_tokens": 9, "n_ctx": 8}
    }
    assert _refusal_of(400, json.dumps(over).encode()).code == "context_length_exceeded"
    assert _refusal_of(400, b'{"error": "plain"}').message == "plain"
    for status, body in ((500, b""), (503, b"[]"), (401, b"<html>"), (502, b'{"error": []}')):
        assert _refusal_of(status, body).code == "engine_gone"


@given(st.text(max_size=40), st.lists(st.integers(0, 255), max_size=9))
def test_text_comes_by_whole_characters_and_none_is_lost(text: str, noise: list[int]) -> None:
    def decode(ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")

    pieces, whole = Pieces(decode), text.encode()
    told = [pieces.add([byte]) for byte in whole]
    assert "".join(told) + pieces.rest() == text
    assert all("\ufffd" not in one for one in told) or "\ufffd" in text
    told += [pieces.add([byte]) for byte in noise]  # which no model should write, and some do
    pieces.rest()
    assert len(pieces.add([65])) == 1


def test_calls_of_tools_are_read_out_of_what_a_model_writes() -> None:
    text = 'Well. <tool_call>{"name": "look", "arguments": {"at": "水"}}</tool_call><tool_call>{"name": 3</tool_call>'
    (call,) = _tool_calls(text)
    assert call["function"] == {"name": "look", "arguments": '{"at": "水"}'}
