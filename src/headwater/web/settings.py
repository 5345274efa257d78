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
