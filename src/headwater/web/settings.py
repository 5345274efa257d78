"""What an operator may set about the web side."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import ClassVar

from headwater.kernel import setting


def _check_networks(values: tuple[str, ...]) -> str | None:
    for value in values:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            return f"{value!r} is neither an address nor a network such as 10.0.0.0/8"
    return None


@dataclass(frozen=True)
class WebSettings:
    section: ClassVar[str] = "web"

    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed, separated by commas.",
        check=_check_networks,
    )
    access_log: bool = setting(True, "Whether each answered request is one line of the log; slow ones always are.")
    slow_request_s: float = setting(
        2.0,
        "A request whose answer takes longer to begin is logged as slow, with its time in the database; 0 logs none.",
        check=lambda value: None if value >= 0 else f"{value} is negative",
    )


def _check_limit(value: int) -> str | None:
    return None if 0 <= value <= 100_000_000 else f"{value} is not between 0 and 100000000"


@dataclass(frozen=True)
class RateSettings:
    section: ClassVar[str] = "rate"

    api: int = setting(
        15_000,
        "Calls of the API that one token, or one address that is nobody's, may make in five minutes, over all workers and "
        "hosts; an account may make twice as many. 0 sets no limit.",
        check=_check_limit,
    )
    files: int = setting(
        150_000, "The same for downloads and uploads: files, git, LFS and Xet. 0 sets no limit.", check=_check_limit
    )
    pages: int = setting(15_000, "The same for pages. 0 sets no limit.", check=_check_limit)


@dataclass(frozen=True)
class MetricsSettings:
    section: ClassVar[str] = "metrics"

    token: str | None = setting(
        None,
        "Who shows it as Bearer may read /metrics. Without it, they are only for this machine itself, and only while no "
        "public address (HEADWATER_URL) and no trusted proxy is set.",
        check=lambda value: None if value is None or len(value) >= 16 else "it must have at least 16 characters",
    )


def _check_endpoint(value: str | None) -> str | None:
    if value is None or value.startswith(("http://", "https://")):
        return None
    return f"{value!r} is not an address such as http://127.0.0.1:4318"


@dataclass(frozen=True)
class TelemetrySettings:
    """Traces by OpenTelemetry; needs the extra ``headwater[telemetry]``."""

    section: ClassVar[str] = "otlp"

    endpoint: str | None = setting(
        None,
        "Base address of an OTLP/HTTP receiver that traces are sent to; nothing is traced without it.",
        check=_check_endpoint,
    )
    headers: tuple[str, ...] = setting((), "Headers that the receiver asks for, as name=value, separated by commas.")
    sample_ratio: float = setting(
        1.0,
        "Which part of the traces that begin here is kept, from 0 to 1.",
        check=lambda value: None if 0 <= value <= 1 else f"{value} is not between 0 and 1",
    )
