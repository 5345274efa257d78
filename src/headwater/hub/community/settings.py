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


@dataclass(frozen=True)
class AttachmentSettings:
    section: ClassVar[str] = "attachment"

    max_bytes: int = setting(
        10_000_000,
        "Largest picture in a comment.",
        check=lambda value: None if 1024 <= value <= 1 << 30 else f"{value} is not between 1 KiB and 1 GiB",
    )
