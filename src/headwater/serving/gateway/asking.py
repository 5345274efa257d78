"""What a request of the OpenAI API asks: checked as far as every engine needs it, and written anew for the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from headwater import web
from headwater.serving.errors import BadRequest
from headwater.web import BadJson

BODY_BYTES = 16 << 20
MOST_MESSAGES, MOST_CHOICES, MOST_INPUTS, MOST_PROMPTS = 10_000, 16, 2048, 64
GRAMMAR_BYTES = 128 << 10  # of schemas, of which an engine makes a grammar
MOST_ID = 2**31 - 1
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
# What is handed on: fields of OpenAI's API, and what all engines know of sampling. All else is left out: engines take slots, files,
# adapters and grammars of their own, which are nobody's to choose, and some of which end them.
_SAMPLING = frozenset(
    """model stream stream_options temperature top_p top_k min_p n stop seed user max_tokens frequency_penalty presence_penalty
    repeat_penalty repetition_penalty logit_bias logprobs ignore_eos""".split()  # noqa: SIM905 -- reads better as text
)
_SCHEMAS = ("tools", "tool_choice", "functions", "function_call", "response_format")
CHAT, COMPLETIONS, EMBEDDINGS = "chat/completions", "completions", "embeddings"


@dataclass(frozen=True)
class Asked:
    """A request that may go to an engine. ``wants_usage``: the client itself asked for usage in its stream."""

    call: str
    model: str
    streams: bool
    wants_usage: bool
    body: bytes
    n_chars: int  # of what is to be read by the model, about
    text: str  # for owners who keep contents


async def read(request: Request, call: str) -> Asked:
    """The request's body, understood.

    Raises:
        BadRequest, BadJson: with the field that is wrong. BodyTooLarge and other refusals of bodies.
    """
    raw = await web.read_body(request, BODY_BYTES)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise BadJson(str(exc)) from exc
    if not isinstance(body, dict):
        raise BadRequest("The body is to be a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("model is needed: the name of an endpoint, as `GET /v1/models` lists them.", "model")
    streams = body.get("stream")
    if streams not in (None, True, False):
        raise BadRequest("stream is true or false.", "stream")
    if call == EMBEDDINGS and streams:
        raise BadRequest("Embeddings are not streamed.", "stream")
    options = body.get("stream_options")
    if options is not None and (not isinstance(options, dict) or not streams):
        raise BadRequest("stream_options is an object, and goes with stream only.", "stream_options")
    wants_usage = bool(options and options.get("include_usage"))
    _CHECKS[call](body)
    _check_numbers(body)
    body = {name: value for name, value in body.items() if name in _KNOWN[call]}
    if sum(len(orjson.dumps(body[name])) for name in _SCHEMAS if name in body) > GRAMMAR_BYTES:
        raise BadRequest(f"The schemas of tools and response_format have more than {GRAMMAR_BYTES >> 10} KiB.", "tools")
    if streams:
        body["stream_options"] = {**(options or {}), "include_usage": True}
    read_by_model = {name: body[name] for name in ("messages", "prompt", "input", "tools") if name in body}
    text = orjson.dumps(read_by_model)
    return Asked(call, model, bool(streams), wants_usage, orjson.dumps(body), len(text), text.decode())


def _check_chat(body: dict[str, Any]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages is a list of at least one message.", "messages")
    if len(messages) > MOST_MESSAGES:
        raise BadRequest(f"There are more than {MOST_MESSAGES} messages.", "messages")
    for n, one in enumerate(messages):
        where = f"messages[{n}]"
        if not isinstance(one, dict):
            raise BadRequest(f"{where} is to be an object with a role and its content.", where)
        if one.get("role") not in ROLES:
            raise BadRequest(f"{where}.role is one of {', '.join(sorted(ROLES))}.", f"{where}.role")
        _check_content(one, where)
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list):
        raise BadRequest("tools is a list.", "tools")
    for n, tool in enumerate(tools):
        named = isinstance(tool, dict) and isinstance(tool.get("function"), dict)
        if not named or tool.get("type") != "function" or not isinstance(tool["function"].get("name"), str):
            raise BadRequest(
                f"tools[{n}] is an object of the type function, with a function and its name.", f"tools[{n}]"
            )


def _check_content(one: dict[str, Any], where: str) -> None:
    content = one.get("content")
    if content is None:
        if one["role"] != "assistant":
            raise BadRequest(f"{where}.content is missing.", f"{where}.content")
    elif isinstance(content, list):
        for part in content:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                # An engine would fetch pictures from wherever a stranger says.
                raise BadRequest(f"{where}.content may hold parts of the type text only.", f"{where}.content")
    elif not isinstance(content, str):
        raise BadRequest(f"{where}.content is a text, or a list of parts.", f"{where}.content")


def _check_prompt(body: dict[str, Any]) -> None:
    prompt = body.get("prompt")
    if isinstance(prompt, str) and prompt:
        return
    is_list = isinstance(prompt, list) and 0 < len(prompt) <= 1 << 20
    if not is_list or not _is_texts_or_ids(prompt):
        raise BadRequest("prompt is a text, a list of texts, or of token ids.", "prompt")
    if isinstance(prompt, list) and isinstance(prompt[0], str | list) and len(prompt) > MOST_PROMPTS:
        raise BadRequest(f"At most {MOST_PROMPTS} prompts are taken at once.", "prompt")


def _check_input(body: dict[str, Any]) -> None:
    given = body.get("input")
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given or not _is_texts_or_ids(given):
        raise BadRequest("input is a text, a list of texts, or of token ids, none of them empty.", "input")
    if any(isinstance(one, str | list) for one in given) and len(given) > MOST_INPUTS:
        raise BadRequest(f"At most {MOST_INPUTS} inputs are taken at once.", "input")
    if any(one in ("", []) for one in given):
        raise BadRequest("input holds an empty text.", "input")
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise BadRequest("encoding_format is float or base64.", "encoding_format")


def _is_texts_or_ids(given: Any) -> bool:
    def is_id(one: Any) -> bool:
        return type(one) is int and 0 <= one <= MOST_ID

    return (
        all(isinstance(one, str) for one in given)
        or all(is_id(one) for one in given)
        or all(isinstance(one, list) and all(is_id(each) for each in one) for one in given)
    )


def _check_numbers(body: dict[str, Any]) -> None:
    for name, least, most in (
        ("temperature", 0, 2), ("top_p", 0, 1), ("frequency_penalty", -2, 2), ("presence_penalty", -2, 2),
    ):  # fmt: skip
        value = body.get(name)
        if value is not None and (type(value) not in (int, float) or not least <= value <= most):
            raise BadRequest(f"{name} is a number from {least} to {most}.", name)
    for name, least, most in (
        ("max_tokens", 1, 1 << 31), ("max_completion_tokens", 1, 1 << 31), ("n", 1, MOST_CHOICES), ("best_of", 1, MOST_CHOICES),
    ):  # fmt: skip
        value = body.get(name)
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise BadRequest(f"{name} is a whole number from {least} to {most}.", name)
    stop = body.get("stop")
    if stop is not None and not isinstance(stop, str) and not (
        isinstance(stop, list) and len(stop) <= 16 and all(isinstance(one, str) for one in stop)
    ):  # fmt: skip
        raise BadRequest("stop is a text, or a list of up to sixteen texts.", "stop")


_CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    CHAT: _check_chat,
    COMPLETIONS: _check_prompt,
    EMBEDDINGS: _check_input,
}
_KNOWN: dict[str, frozenset[str]] = {
    CHAT: _SAMPLING
    | frozenset(_SCHEMAS)
    | {
        "messages",
        "max_completion_tokens",
        "top_logprobs",
        "parallel_tool_calls",
        "chat_template_kwargs",
        "reasoning_effort",
    },
    COMPLETIONS: _SAMPLING | {"prompt", "suffix", "echo", "best_of"},
    EMBEDDINGS: frozenset({"model", "input", "encoding_format", "dimensions", "user"}),
}
