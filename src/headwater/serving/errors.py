"""How serving may refuse."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.kernel import HeadwaterError, Kind


class EndpointNotFound(HeadwaterError):
    code = "model_not_found"  # as OpenAI's API calls it: clients compare
    kind = Kind.NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(
            f"No endpoint called {name[:200]!r} is served here, or you may not use it. `GET /v1/models` lists those that you may."
        )


class EndpointNameTaken(HeadwaterError):
    code = "endpoint_name_taken"
    kind = Kind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(f"There is an endpoint called {name} already. Choose another name, or change that one.")


class BadEndpoint(HeadwaterError):
    """What was asked for, with every problem at once."""

    code = "bad_endpoint"
    kind = Kind.BAD_INPUT

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("This endpoint cannot be made: " + "; ".join(problems) + ".")


class TooManyLines(HeadwaterError):
    """Of use; cut lists would read as if there had been no more."""

    code = "too_many_lines"
    kind = Kind.BAD_INPUT

    def __init__(self, most: int) -> None:
        super().__init__(f"There are more than {most} lines. Ask for fewer days, or for sums by day.")


class NotServable(HeadwaterError):
    """``recipe`` is that of a run whose output could be served: set where one would do."""

    code = "model_not_servable"
    kind = Kind.UNPROCESSABLE
    recipe = ""

    def __init__(self, why: str, *, needs_gguf: bool = False) -> None:
        self.needs_gguf = needs_gguf
        super().__init__(f"This revision cannot be served as asked: {why}")


class EngineMissing(HeadwaterError):
    code = "engine_missing"
    kind = Kind.UNAVAILABLE

    def __init__(self, engine: str, mend: str) -> None:
        super().__init__(f"The engine {engine} is not on this machine. {mend}")


class EngineNotBuilt(HeadwaterError):
    code = "engine_not_built"
    kind = Kind.UNAVAILABLE

    def __init__(self, why: str, log: str) -> None:
        super().__init__(f"llama.cpp could not be built: {why}. What the build said is in {log}.")


class EndpointStopped(HeadwaterError):
    code = "endpoint_stopped"
    kind = Kind.UNAVAILABLE

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is stopped. Somebody of its owner can start it.")


class EndpointFailed(HeadwaterError):
    code = "endpoint_failed"
    kind = Kind.UNAVAILABLE

    def __init__(self, name: str) -> None:
        super().__init__(f"The engine of {name} fails again and again. Its owner sees why on the endpoint's page.")


class EndpointStarting(HeadwaterError):
    code = "endpoint_starting"
    kind = Kind.UNAVAILABLE

    def __init__(self, name: str, waited_s: float) -> None:
        super().__init__(
            f"{name} was not ready after {waited_s:.0f} seconds, and goes on starting. Ask again in a moment.",
            headers={"Retry-After": "10"},
        )


class EngineGone(HeadwaterError):
    """It died, or sent nothing for too long, before the answer was whole."""

    code = "engine_gone"
    kind = Kind.UNAVAILABLE

    def __init__(self, why: str) -> None:
        super().__init__(f"The model's engine gave no whole answer: {why}. Ask again.", headers={"Retry-After": "2"})


class BadRequest(HeadwaterError):
    """``param`` is the field that is wrong, as OpenAI's errors name it."""

    code = "invalid_value"
    kind = Kind.BAD_INPUT

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class ContextExceeded(HeadwaterError):
    code = "context_length_exceeded"  # as OpenAI's API calls it
    kind = Kind.BAD_INPUT
    param = "messages"

    def __init__(self, n_prompt: int | None, n_context: int | None) -> None:
        has = "more tokens" if n_prompt is None else f"{n_prompt} tokens"
        takes = (
            "than this model takes here"
            if n_context is None
            else f"and this model takes {n_context} here, the answer's included"
        )
        super().__init__(f"The prompt has {has}, {takes}. Send less.")


class WrongTask(HeadwaterError):
    code = "wrong_task"
    kind = Kind.BAD_INPUT

    def __init__(self, name: str, does: str, instead: str) -> None:
        super().__init__(f"{name} {does}. Ask it at {instead}, or choose another model.")


class RateLimited(HeadwaterError):
    """The gateway's own limits; ``what`` is "requests" or "tokens"."""

    code = "rate_limit_exceeded"  # as OpenAI's API calls it
    kind = Kind.TOO_MANY

    def __init__(self, what: str, whose: str, limit: int, per: str, wait_s: int, headers: dict[str, str]) -> None:
        self.what = what
        super().__init__(
            f"Too many {what}: {whose} may use {limit} {per}. Go on in {wait_s} seconds.",
            headers={**headers, "Retry-After": str(wait_s)},
        )
