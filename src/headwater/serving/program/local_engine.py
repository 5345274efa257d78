"""A small OpenAI-compatible server of one model by transformers: ``python -m headwater.serving.program.local_engine``.

It answers what the gateway asks of any engine: ``/health``, ``/props``, ``/v1/chat/completions``, ``/v1/completions``,
``/v1/embeddings``, streaming or not, usage always told. Answers are made one after another, in one thread; whoever leaves
ends their own. It asks for the key in ``HEADWATER_ENGINE_KEY``, reads safetensors only, and never runs a model's own code.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hmac
import json
import os
import queue
import re
import struct
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

LEFT_POLL_S = 0.1
DEFAULT_TOKENS = 512
MOST_OF_ONE_CHARACTER = 4  # tokens; UTF-8 has no longer ones
_TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


class Refused(Exception):
    """An answer of 400 in the shape of OpenAI's errors."""

    def __init__(self, message: str, *, kind: str = "invalid_request_error", **more: Any) -> None:
        self.body = {"error": {"code": 400, "message": message, "type": kind, **more}}
        super().__init__(message)


@dataclass
class Wanted:
    """One generation: what is asked, and whether it still is."""

    prompt_ids: Any
    max_tokens: int
    options: dict[str, Any]
    stops: list[str]
    left: threading.Event = field(default_factory=threading.Event)


@dataclass
class Ended:
    reason: str
    n_prompt: int
    n_completion: int


class Pieces:
    """Text of tokens as they come: each at once, but where it ends in the middle of a character, with the next."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._from = self._told = (
            0  # tokens that are still looked at, as the next may change their text; those of which it was told
        )

    def add(self, ids: list[int]) -> str:
        self._ids += ids
        text = self._new()
        if text.endswith("\ufffd") and len(self._ids) - self._told < MOST_OF_ONE_CHARACTER:
            return ""
        self._from, self._told = self._told, len(self._ids)
        return text

    def rest(self) -> str:
        text = self._new()
        self._from = self._told = len(self._ids)
        return text

    def _new(self) -> str:
        before = self._decode(self._ids[self._from : self._told])
        return self._decode(self._ids[self._from :])[len(before) :]


class Model:
    """The model and its tokenizer. Everything that touches torch runs on one thread."""

    def __init__(self, folder: str, *, context: int, threads: int, task: str) -> None:
        import torch
        from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(max(1, threads))
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        own = getattr(config, "max_position_embeddings", None)
        self.context = min(context, own) if isinstance(own, int) and own > 0 else context
        self.task = task
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        kind = AutoModel if task == "embed" else AutoModelForCausalLM
        made: Any = kind.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, dtype="auto"
        )
        if made.dtype == torch.float16 and not torch.cuda.is_available():
            made = made.to(torch.float32)  # half precision has no fast path there
        self.model: Any = made.eval()
        self.torch = torch

    def ids_of(self, text: str) -> Any:
        return self.tokenizer(text, return_tensors="pt")["input_ids"]

    def ids_of_chat(self, messages: list[Any], tools: Any) -> Any:
        if not getattr(self.tokenizer, "chat_template", None):
            # Base models have no template: turns by plain words, as far as that goes.
            turns = "\n".join(f"{one['role']}: {_plain(one.get('content'))}" for one in messages)
            return self.ids_of(f"{turns}\nassistant:")
        try:
            text: Any = self.tokenizer.apply_chat_template(
                [{**one, "content": _plain(one.get("content"))} for one in messages],
                tools=tools or None,
                tokenize=False,
                add_generation_prompt=True,
            )
        except Exception as exc:
            raise Refused(f"The model's chat template refuses these messages: {exc}") from exc
        return self.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]

    def generate(self, wanted: Wanted, put: Callable[[str], None]) -> Ended:
        """Tell the text piece by piece; stops when it is not wanted any more."""
        from transformers import StoppingCriteriaList

        n_prompt = int(wanted.prompt_ids.shape[1])
        told, found_stop = "", False
        longest = max(map(len, wanted.stops), default=0)

        def say(text: str, *, is_last: bool = False) -> None:
            nonlocal told, found_stop
            if found_stop:
                return
            told += text
            for stop in wanted.stops:
                at = told.find(stop)
                if at >= 0:
                    found_stop, told = True, told[:at]
            keep = 0 if is_last or found_stop else max(0, longest - 1)  # the beginning of a stop is held back
            out, told = told[: len(told) - keep], told[len(told) - keep :]
            if out:
                put(out)

        pieces = Pieces(lambda ids: str(self.tokenizer.decode(ids, skip_special_tokens=True)))

        class Streamer:
            is_prompt = True

            def put(self, value: Any) -> None:
                if self.is_prompt:
                    self.is_prompt = False
                else:
                    say(pieces.add(value.flatten().tolist()))

            def end(self) -> None:
                say(pieces.rest())

        def is_unwanted(*_: Any, **__: Any) -> bool:
            return wanted.left.is_set() or found_stop

        with self.torch.inference_mode():
            out = self.model.generate(
                input_ids=wanted.prompt_ids,
                attention_mask=self.torch.ones_like(wanted.prompt_ids),
                max_new_tokens=wanted.max_tokens,
                stopping_criteria=StoppingCriteriaList([is_unwanted]),
                streamer=Streamer(),
                pad_token_id=self.tokenizer.pad_token_id
                if self.tokenizer.pad_token_id is not None
                else self.tokenizer.eos_token_id,
                **wanted.options,
            )
        say("", is_last=True)
        n_completion = int(out.shape[1]) - n_prompt
        is_full = n_completion >= wanted.max_tokens and not found_stop
        return Ended("length" if is_full else "stop", n_prompt, n_completion)

    def embed(self, texts: list[Any]) -> tuple[list[list[float]], int]:
        """The mean of the last hidden states of each text's tokens, of length one; and how many tokens there were."""
        found, n_tokens = [], 0
        for text in texts:
            ids = self.torch.tensor([text]) if isinstance(text, list) else self.ids_of(text)
            if ids.shape[1] == 0:
                raise Refused("An empty text has no embedding.")
            self.require_room(int(ids.shape[1]), of_prompt_alone=True)
            n_tokens += int(ids.shape[1])
            with self.torch.inference_mode():
                out = self.model(input_ids=ids, attention_mask=self.torch.ones_like(ids), output_hidden_states=True)
            hidden = out.last_hidden_state if hasattr(out, "last_hidden_state") else out.hidden_states[-1]
            mean = hidden[0].float().mean(dim=0)
            found.append((mean / mean.norm().clamp(min=1e-12)).tolist())
        return found, n_tokens

    def require_room(self, n_prompt: int, *, of_prompt_alone: bool = False) -> None:
        if n_prompt > self.context or (n_prompt == self.context and not of_prompt_alone):
            raise Refused(
                f"the request exceeds the available context size ({n_prompt} tokens, {self.context} are available)",
                kind="exceed_context_size_error",
                n_prompt_tokens=n_prompt,
                n_ctx=self.context,
            )


def _plain(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


class Server:
    def __init__(self, folder: str, alias: str, *, context: int, threads: int, task: str) -> None:
        self.alias = alias
        self.key = os.environ.pop("HEADWATER_ENGINE_KEY", "")
        self._arguments = (folder, context, threads, task)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.model: Model | None = None

    def load(self) -> None:
        """In the worker; a model that cannot be loaded ends the process, with the reason in its log."""

        def act() -> None:
            folder, context, threads, task = self._arguments
            try:
                self.model = Model(folder, context=context, threads=threads, task=task)
            except BaseException:  # noqa: BLE001 -- its last words
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)

        self._worker.submit(act)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/props", self.props),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/completions", self.completions, methods=["POST"]),
                Route("/v1/embeddings", self.embeddings, methods=["POST"]),
            ],
            exception_handlers={Refused: self._refuse},
        )

    async def _refuse(self, _request: Request, exc: Exception) -> Response:
        assert isinstance(exc, Refused)  # noqa: S101
        return JSONResponse(exc.body, 400)

    def _ready(self, request: Request) -> Model:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            raise Refused("The key is wrong.", kind="authentication_error")
        if self.model is None:
            raise Refused("The model is still being loaded.", kind="unavailable_error")
        return self.model

    async def health(self, _request: Request) -> Response:
        if self.model is None:
            return JSONResponse({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)
        return JSONResponse({"status": "ok"})

    async def props(self, request: Request) -> Response:
        model = self._ready(request)
        return JSONResponse({"default_generation_settings": {"n_ctx": model.context}, "total_slots": 1})

    async def chat(self, request: Request) -> Response:
        model, body = self._ready(request), await request.json()
        if model.task == "embed":
            raise Refused("This model makes embeddings only.")
        ids = await self._run(model.ids_of_chat, body["messages"], body.get("tools"))
        return await self._answer(request, model, ids, body, is_chat=True)

    async def completions(self, request: Request) -> Response:
        model, body = self._ready(request), await request.json()
        if model.task == "embed":
            raise Refused("This model makes embeddings only.")
        prompt = body.get("prompt", "")
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
            prompt = prompt[0]
        if isinstance(prompt, list) and all(type(one) is int for one in prompt) and prompt:
            ids: Any = model.torch.tensor([prompt])
        elif isinstance(prompt, str):
            ids = await self._run(model.ids_of, prompt)
        else:
            raise Refused("This engine takes one prompt at a time: a text, or a list of token ids.")
        return await self._answer(request, model, ids, body, is_chat=False)

    async def embeddings(self, request: Request) -> Response:
        model, body = self._ready(request), await request.json()
        if model.task != "embed":
            raise Refused("This endpoint does not make embeddings; make one whose task is embed.")
        given = body.get("input")
        texts = given if isinstance(given, list) and given and not all(type(one) is int for one in given) else [given]
        if not all(isinstance(one, str) or (isinstance(one, list) and one) for one in texts):
            raise Refused("input is a text, several texts, or token ids.")
        vectors, n_tokens = await self._run(model.embed, texts)
        as_base64 = body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": n,
                "embedding": base64.b64encode(struct.pack(f"<{len(one)}f", *one)).decode() if as_base64 else one,
            }
            for n, one in enumerate(vectors)
        ]
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        return JSONResponse({"object": "list", "model": self.alias, "data": data, "usage": usage})

    async def _run(self, act: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._worker, act, *args)

    async def _answer(
        self, request: Request, model: Model, ids: Any, body: dict[str, Any], *, is_chat: bool
    ) -> Response:
        n_prompt = int(ids.shape[1])
        if n_prompt == 0:
            raise Refused("The prompt is empty.")
        model.require_room(n_prompt)
        if body.get("n", 1) not in (None, 1):
            raise Refused("This engine gives one answer at a time (n = 1).")
        wanted = _wanted(model, ids, body)
        shape = _Shape(self.alias, is_chat=is_chat)
        pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        loop, came = asyncio.get_running_loop(), asyncio.Event()

        def put(text: Any) -> None:
            pieces.put(text)
            loop.call_soon_threadsafe(came.set)

        def act() -> None:
            try:
                put(Ended("stop", n_prompt, 0) if wanted.left.is_set() else model.generate(wanted, put))
            except Exception as exc:  # noqa: BLE001 -- told to whoever asked
                put(exc)

        self._worker.submit(act)

        async def all_pieces() -> AsyncIterator[Any]:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(came.wait(), LEFT_POLL_S)
                came.clear()
                while not pieces.empty():
                    piece = pieces.get()
                    if isinstance(piece, Exception):
                        raise piece
                    yield piece
                    if isinstance(piece, Ended):
                        return

        if body.get("stream"):
            with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return StreamingResponse(
                _guarded(shape.stream(all_pieces(), with_usage=with_usage, has_tools=bool(body.get("tools"))), wanted),
                media_type="text/event-stream",
            )
        text, ended = "", Ended("stop", n_prompt, 0)
        watcher = asyncio.create_task(_until_gone(request, wanted))
        try:
            async for piece in all_pieces():
                if isinstance(piece, Ended):
                    ended = piece
                else:
                    text += piece
        finally:
            watcher.cancel()
        return JSONResponse(shape.whole(text, ended, has_tools=bool(body.get("tools"))))


async def _until_gone(request: Request, wanted: Wanted) -> None:
    while not await request.is_disconnected():  # noqa: ASYNC110 -- which tells nobody by itself
        await asyncio.sleep(LEFT_POLL_S)
    wanted.left.set()


async def _guarded(lines: AsyncIterator[bytes], wanted: Wanted) -> AsyncIterator[bytes]:
    """What ends early, because nobody reads it, ends the generation as well."""
    try:
        async for line in lines:
            yield line
    finally:
        wanted.left.set()


def _wanted(model: Model, ids: Any, body: dict[str, Any]) -> Wanted:
    room = model.context - int(ids.shape[1])
    asked = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_TOKENS
    temperature = body.get("temperature")
    temperature = 1.0 if temperature is None else float(temperature)
    options: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        options["temperature"] = temperature
        if body.get("top_p") is not None:
            options["top_p"] = float(body["top_p"])
        if body.get("top_k") is not None:
            options["top_k"] = int(body["top_k"])
    if body.get("seed") is not None:
        model.torch.manual_seed(int(body["seed"]))
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else [one for one in stop if isinstance(one, str) and one]
    return Wanted(ids, max(1, min(int(asked), room)), options, stops)


class _Shape:
    """The objects of OpenAI's protocol around pieces of text."""

    def __init__(self, alias: str, *, is_chat: bool) -> None:
        self.is_chat = is_chat
        self.head = {
            "id": ("chatcmpl-" if is_chat else "cmpl-") + uuid.uuid4().hex,
            "created": int(time.time()),
            "model": alias,
        }

    @staticmethod
    def usage(ended: Ended) -> dict[str, int]:
        return {
            "prompt_tokens": ended.n_prompt,
            "completion_tokens": ended.n_completion,
            "total_tokens": ended.n_prompt + ended.n_completion,
        }

    def whole(self, text: str, ended: Ended, *, has_tools: bool) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": ended.reason}
        if self.is_chat:
            message: dict[str, Any] = {"role": "assistant", "content": text}
            calls = list(_tool_calls(text)) if has_tools else []
            if calls:
                message |= {"content": None, "tool_calls": calls}
                choice["finish_reason"] = "tool_calls"
            choice["message"] = message
        else:
            choice["text"] = text
        kind = "chat.completion" if self.is_chat else "text_completion"
        return {**self.head, "object": kind, "choices": [choice], "usage": self.usage(ended)}

    async def stream(self, pieces: AsyncIterator[Any], *, with_usage: bool, has_tools: bool) -> AsyncIterator[bytes]:
        ended, told, begun = Ended("stop", 0, 0), "", False
        try:
            async for piece in pieces:
                if isinstance(piece, Ended):
                    ended = piece
                    continue
                if self.is_chat and not begun:
                    begun = True
                    yield self._chunk({"role": "assistant", "content": ""}, None)
                told += piece
                if not has_tools:  # with tools, what comes may turn out to be a call of one
                    yield self._chunk({"content": piece} if self.is_chat else piece, None)
        except Exception as exc:  # noqa: BLE001 -- told in the stream; the head has gone
            error = {
                "error": {"message": f"The engine failed: {exc}", "type": "server_error", "param": None, "code": 500}
            }
            yield b"data: " + json.dumps(error).encode() + b"\n\n"
            return
        if self.is_chat and not begun:
            yield self._chunk({"role": "assistant", "content": ""}, None)
        reason = ended.reason
        if has_tools:
            calls = list(_tool_calls(told))
            if calls:
                reason = "tool_calls"
                yield self._chunk({"tool_calls": [{"index": n, **one} for n, one in enumerate(calls)]}, None)
            else:
                yield self._chunk({"content": told}, None)
        yield self._chunk({} if self.is_chat else "", reason)
        if with_usage:
            last = {**self.head, "object": self._kind(), "choices": [], "usage": self.usage(ended)}
            yield b"data: " + json.dumps(last, separators=(",", ":")).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    def _kind(self) -> str:
        return "chat.completion.chunk" if self.is_chat else "text_completion"

    def _chunk(self, delta: Any, reason: str | None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        choice["delta" if self.is_chat else "text"] = delta
        body = {**self.head, "object": self._kind(), "choices": [choice]}
        return b"data: " + json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def _tool_calls(text: str) -> Iterator[dict[str, Any]]:
    """Calls as many open models write them: JSON between ``<tool_call>`` marks."""
    for found in _TOOL_CALL.finditer(text):
        try:
            call = json.loads(found[1])
            name, arguments = call["name"], call.get("arguments", {})
        except (ValueError, KeyError, TypeError):
            continue
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        yield {
            "id": f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": name, "arguments": written},
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="local_engine")
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--task", choices=("generate", "embed"), default="generate")
    given = parser.parse_args()
    import uvicorn

    server = Server(given.model, given.alias, context=given.context, threads=given.threads, task=given.task)
    server.load()
    uvicorn.run(server.app(), host=given.host, port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
