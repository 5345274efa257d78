"""What an operator may set about the community's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headwater.kernel import setting


@dataclass(frozen=True)
class WebhookSettings:
    section: ClassVar[str] = "webhook"

    allow: tuple[str, ...] = setting(
        (),
        "Hosts, addresses or networks that webhooks may reach although they are private or local, separated by commas.",
    )
