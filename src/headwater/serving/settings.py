"""What an operator may set about serving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from headwater.kernel import setting


def _at_least(least: float, most: float) -> Callable[[float], str | None]:
    return lambda value: None if least <= value <= most else f"{value} is not between {least} and {most}"


def _check_program(value: str | None) -> str | None:
    if value is None or Path(value).is_file():
        return None
    return f"{value!r} is not a file"


_LIMIT = "{what} that one key may {use} {per}, over all workers and hosts; its owner's keys together twice as many. 0 sets no limit."


@dataclass(frozen=True)
class ServingSettings:
    section: ClassVar[str] = "serving"

    engines: int = setting(4, "Engines that this host runs at once; 0: none, other hosts do.", check=_at_least(0, 1000))
    threads: int = setting(
        0, "Processor threads of each engine; 0 takes as many as there are.", check=_at_least(0, 1024)
    )
    address: str = setting("127.0.0.1", "Address of this host on which engines listen for the site's web workers.")
    start_timeout_s: float = setting(
        600.0, "An engine that does not answer by then is ended, and tried again.", check=_at_least(1, 86400)
    )
    wake_timeout_s: float = setting(
        120.0, "How long a request waits for an endpoint that is asleep or starting.", check=_at_least(0, 3600)
    )
    stall_s: float = setting(
        300.0,
        "An engine that sends nothing for so long in the middle of an answer is given up.",
        check=_at_least(1, 86400),
    )
    health_every_s: float = setting(
        10.0, "How often an engine is asked whether it is well; the third time in a row that it is not ends it.", check=_at_least(0.1, 3600)
    )  # fmt: skip
    most_failures: int = setting(
        5,
        "An engine that failed so often in a row is given up until somebody starts it again.",
        check=_at_least(1, 100),
    )
    cache_bytes: int = setting(
        50 << 30,
        "Room for copies of models that engines cannot read where they are stored.",
        check=_at_least(0, 1 << 60),
    )
    requests_per_minute: int = setting(
        600, _LIMIT.format(what="Requests", use="make", per="in a minute"), check=_at_least(0, 10**9)
    )
    requests_per_day: int = setting(
        0, _LIMIT.format(what="Requests", use="make", per="in a day"), check=_at_least(0, 10**9)
    )
    tokens_per_minute: int = setting(
        0, _LIMIT.format(what="Tokens", use="use", per="in a minute"), check=_at_least(0, 10**12)
    )
    tokens_per_day: int = setting(
        0, _LIMIT.format(what="Tokens", use="use", per="in a day"), check=_at_least(0, 10**12)
    )


@dataclass(frozen=True)
class LlamaSettings:
    section: ClassVar[str] = "llama"

    server: str | None = setting(
        None,
        "The program llama-server. Without it, one on the PATH is taken, or the one that "
        "`headwater engine install llama.cpp` has built.",
        check=_check_program,
    )
