"""A served model as lm-eval sees one: asked through the gateway as by any client, and asked again while its engine or the site is away.

lm-eval's own client gives up after eight seconds, tells nothing of a refusal but its status, does not wait for limits, and takes an
answer that it cannot read for an empty one, which then is scored as wrong. Here each request is answered, or the run ends with the reason.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from lm_eval.models import api_models
from lm_eval.models.openai_completions import LocalChatCompletion

from headwater.evaluation.program.problems import CannotEvaluate

PATIENCE_S = 600.0  # so long a request is asked again, from when it was first not answered
ANSWER_S = 900.0  # longer than the gateway waits for an engine: it is the one to say why
MOST_DEATHS = 3  # a request that the engine died of so often may be the reason; five deaths in a row end an endpoint for everybody
LONGEST_PAUSE_S = 10.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_FOR_GOOD = frozenset({"endpoint_stopped", "endpoint_failed"})  # until somebody starts it again


class ServedModel(LocalChatCompletion):  # type: ignore[misc]
    """``n_again`` requests were asked more than once; ``told`` is what was said last of why."""

    def __init__(self, *, token: str, concurrency: int, **given: Any) -> None:
        super().__init__(header={"Authorization": f"Bearer {token}"}, **given)
        self._concurrency = concurrency
        self.n_again = 0
        self.told = ""

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:  # noqa: FBT001, FBT002 -- as lm-eval calls it
        """Raises: CannotEvaluate: one of them got no answer."""
        return asyncio.run(self._ask_all([request.args for request in requests]))

    async def _ask_all(self, wanted: Sequence[tuple[Any, Mapping[str, Any]]]) -> list[str]:
        room = asyncio.Semaphore(self._concurrency)
        limits = httpx.Limits(max_connections=self._concurrency)
        shown = api_models.tqdm(total=len(wanted), desc="Requesting API")
        async with httpx.AsyncClient(headers=self.header, timeout=ANSWER_S, limits=limits, trust_env=False) as client:

            async def one(context: Any, kwargs: Mapping[str, Any]) -> str:
                async with room:
                    messages = self.create_message([context])
                    own = copy.deepcopy(dict(kwargs))  # lm-eval takes out what it knows
                    answer = await self._ask(client, self._create_payload(messages, gen_kwargs=own, seed=self._seed))
                shown.update()
                return answer

            try:
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(one(context, kwargs)) for context, kwargs in wanted]
            except BaseExceptionGroup as exc:
                raise exc.exceptions[0] from None
            finally:
                shown.close()
        return [each.result() for each in asked]

    async def _ask(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> str:
        give_up: float | None = None
        n_deaths, pause_s = 0, 0.5
        while True:
            wait_s = None
            try:
                answer = await client.post(self.base_url, json=body)
            except httpx.HTTPError as exc:
                code, why = "", f"the site gave no answer ({type(exc).__name__})"
            else:
                if answer.status_code == 200:
                    return _content(answer)
                code, why = _refusal(answer)
                if answer.status_code not in _AGAIN or code in _FOR_GOOD:
                    raise CannotEvaluate("endpoint_refused", f"{self.model} refused a request: {why}")
                wait_s = _retry_after(answer)
            self.told = why
            moment = time.monotonic()
            if give_up is None:
                give_up = moment + PATIENCE_S
                self.n_again += 1
            n_deaths += code == "engine_gone"
            if n_deaths >= MOST_DEATHS:
                what = f"{self.model} gave no whole answer to one request, {n_deaths} times"
                raise CannotEvaluate("endpoint_away", f"{what}: {why} Nothing of this run was published.")
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            wait_s = pause_s if wait_s is None else wait_s
            if moment + wait_s > give_up:
                what = f"{self.model} gave no answer, and would not within {PATIENCE_S:.0f} seconds"
                raise CannotEvaluate("endpoint_away", f"{what}: {why} Nothing of this run was published.")
            await asyncio.sleep(wait_s)


def _content(answer: httpx.Response) -> str:
    try:
        content = answer.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError) as exc:
        what = f"An answer of the endpoint has no text where OpenAI's API has it ({type(exc).__name__}: {exc})."
        raise CannotEvaluate("endpoint_refused", what) from exc
    return content if isinstance(content, str) else ""  # null: it thought, or called a tool, and said nothing


def _refusal(answer: httpx.Response) -> tuple[str, str]:
    try:
        error = answer.json()["error"]
        return str(error["code"]), str(error["message"])[:1000]
    except (ValueError, LookupError, TypeError):
        return "", f"the site answered with status {answer.status_code}."


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
