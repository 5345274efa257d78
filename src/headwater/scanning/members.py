"""What archives of every kind share: names that lead out of the folder, and a bound for all that lies inside, however deep."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from headwater.scanning import rules
from headwater.scanning.models import Judgement, Rule
from headwater.scanning.reading import Bytes, Forward

MAX_MEMBERS = 200_000
MAX_DEPTH = 4  # archives within archives
MAX_FULL_BYTES = 1 << 40
_BOMB_BYTES, _BOMB_RATIO = 1 << 30, 200

MemberJudge = Callable[[str, "Bytes | Forward"], Judgement]


@dataclass
class Tally:
    """What the archives of one file have unpacked to so far."""

    n_members: int = 0
    n_bytes: int = 0

    class Full(Exception):
        def __init__(self, rule: Rule, what: str) -> None:
            self.rule, self.what = rule, what

    def add(self, n_members: int, n_bytes: int, *, of_bytes: int) -> None:
        """Count ``n_members`` of ``n_bytes`` that unpack from ``of_bytes``.

        Raises:
            Tally.Full: no ordinary file holds as much in as little.
        """
        self.n_members += n_members
        self.n_bytes += n_bytes
        if self.n_members > MAX_MEMBERS:
            raise Tally.Full(rules.ARCHIVE_BOMB, f"{self.n_members} members")
        if n_bytes > max(_BOMB_BYTES, _BOMB_RATIO * of_bytes) or self.n_bytes > MAX_FULL_BYTES:
            raise Tally.Full(rules.ARCHIVE_BOMB, f"{n_bytes} bytes out of {of_bytes}")


def leads_out(name: str) -> bool:
    """Whether a member's name can leave the folder it is unpacked in, on any system. No ordinary program writes ``..`` into one."""
    name = name.replace("\\", "/")
    return name.startswith("/") or name[1:2] == ":" or ".." in name.split("/")


def link_leads_out(name: str, target: str) -> bool:
    """Whether the link ``name`` can lead out of the archive; upward steps count only at the beginning of ``target``,
    since behind another link they would be from somewhere else.
    """
    target = target.replace("\\", "/")
    if target.startswith("/") or target[1:2] == ":" or "\0" in target:
        return True
    depth = sum(part not in ("", ".") for part in name.split("/")[:-1])
    is_upward = True
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0 or not is_upward:
                return True
        elif part not in ("", "."):
            is_upward = False
    return False


def lies_behind(name: str, links: Collection[str]) -> bool:
    """Whether a member's folder is one of the archive's links, so that it is unpacked elsewhere than its name says."""
    if not links:
        return False
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return any("/".join(parts[:n]) in links for n in range(1, len(parts)))
