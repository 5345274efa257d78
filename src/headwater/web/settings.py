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
    metrics_token: str | None = setting(
        None,
        "Who shows it as Bearer may read /metrics. Without it, they are only for this machine itself, and only while no "
        "public address (HEADWATER_URL) is set.",
        check=lambda value: None if value is None or len(value) >= 16 else "it must have at least 16 characters",
    )
