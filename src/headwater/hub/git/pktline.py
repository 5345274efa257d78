"""Git's packet format, and the commands of a push. Pure: bytes in, values or a declared error out.

Format: gitprotocol-common(5) and gitprotocol-pack(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from headwater.hub.git.errors import BadPktLine, BadPush

FLUSH = b"0000"
DELIMITER = b"\0delimiter"  # stands for 0001 in what ``split`` gives; no command or argument is spelt like this
MAX_DATA_BYTES = 65_516
MAX_COMMANDS = 10_000
ZERO = "0" * 40

_COMMAND = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\0\n]+)\n?")
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")


@dataclass(frozen=True)
class Command:
    """What a push asks of one ref; ``old`` and ``new`` are None for "not there"."""

    ref: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Commands:
    commands: tuple[Command, ...]
    capabilities: frozenset[str]


def pkt(data: bytes) -> bytes:
    """One packet."""
    return b"%04x" % (len(data) + 4) + data


def sideband(band: int, data: bytes) -> Iterator[bytes]:
    """``data`` as packets of one band: 1 is the answer, 2 what the user reads, 3 a fatal error."""
    for at in range(0, len(data), MAX_DATA_BYTES - 1):
        yield pkt(bytes([band]) + data[at : at + MAX_DATA_BYTES - 1])


def read_packet(read: Callable[[int], bytes]) -> bytes | None:
    """The next packet's data, None for a flush.

    Args:
        read: gives as many bytes as asked for, fewer only at the end.

    Raises:
        BadPktLine: cut short, or no packet.
    """
    head = read(4)
    if len(head) < 4:
        raise BadPktLine("it ends where a packet should begin")
    if not _LENGTH.fullmatch(head):
        raise BadPktLine(f"a packet begins with {head!r} instead of its length")
    size = int(head, 16)
    if size == 0:
        return None
    if size < 4 or size > MAX_DATA_BYTES + 4:
        raise BadPktLine(f"a packet of {size} bytes is not possible")
    data = read(size - 4)
    if len(data) < size - 4:
        raise BadPktLine(f"a packet of {size} bytes ends after {len(data) + 4}")
    return data


def split(body: bytes) -> list[bytes | None] | None:
    """Every packet of a version 2 request: lines without their newline, ``DELIMITER``, None for a flush.

    None when it is not whole packets from beginning to end.
    """
    found: list[bytes | None] = []
    at = 0
    while at < len(body):
        head = body[at : at + 4]
        if not _LENGTH.fullmatch(head):
            return None
        size = int(head, 16)
        if size in (0, 1):
            found.append(DELIMITER if size else None)
            at += 4
            continue
        if size <= 4 or size > MAX_DATA_BYTES + 4 or at + size > len(body):
            return None
        found.append(body[at + 4 : at + size].removesuffix(b"\n"))
        at += size
    return found


def read_commands(read: Callable[[int], bytes]) -> Commands:
    """What stands before the pack in a push.

    Raises:
        BadPktLine: cut short, or no packets.
        BadPush: packets that are no commands, or ask for what was not offered.
    """
    commands: dict[str, Command] = {}
    capabilities: frozenset[str] = frozenset()
    n_packets = 0
    while (line := read_packet(read)) is not None:
        n_packets += 1
        if n_packets == 1 and b"\0" in line:
            line, _, rest = line.partition(b"\0")
            capabilities = frozenset(rest.decode(errors="replace").split())
        if line.startswith(b"push-cert"):
            raise BadPush(
                "Signed pushes are not taken here. Push without --signed; signed commits and tags are kept as they are."
            )
        if line.startswith(b"shallow "):
            continue  # what the client lacks itself; whether all is here is checked anyway
        command = _parse(line)
        if command.ref in commands:
            raise BadPush(f"The push names {command.ref!r} twice.")
        commands[command.ref] = command
        if len(commands) > MAX_COMMANDS:
            raise BadPush(f"A push may move at most {MAX_COMMANDS} refs. Push fewer at a time.")
    return Commands(tuple(commands.values()), capabilities)


def _parse(line: bytes) -> Command:
    match = _COMMAND.fullmatch(line)
    if match is None:
        raise BadPush(f"{line[:100]!r} is not a command of a push.")
    old, new, name = (part.decode(errors="surrogateescape") for part in match.groups())
    return Command(name, None if old == ZERO else old, None if new == ZERO else new)


def format_advertisement(service: str, refs: Iterable[tuple[str, str]], capabilities: str) -> bytes:
    """The answer to ``info/refs`` in protocol version 0."""
    out = [pkt(f"# service={service}\n".encode()), FLUSH]
    tail = f"\0{capabilities}"
    for name, oid in refs:
        out.append(pkt(f"{oid} {name}{tail}\n".encode(errors="surrogateescape")))
        tail = ""
    if tail:
        out.append(pkt(f"{ZERO} capabilities^{{}}{tail}\n".encode()))
    return b"".join([*out, FLUSH])


def format_report(
    unpack: str, results: Iterable[tuple[str, str | None]], capabilities: frozenset[str], note: str
) -> bytes:
    """The answer to a push: per ref None for done, or why not; ``note`` is what the user reads besides."""
    lines = [pkt(f"unpack {unpack}\n".encode())]
    for name, reason in results:
        line = f"ok {name}\n" if reason is None else f"ng {name} {_one_line(reason)}\n"
        lines.append(pkt(line.encode(errors="surrogateescape")))
    wants_report = bool(capabilities & {"report-status", "report-status-v2"})
    report = b"".join([*lines, FLUSH]) if wants_report else b""
    if "side-band-64k" not in capabilities:
        return report
    message = note.rstrip("\n") + "\n" if note else ""
    return b"".join([*sideband(2, message.encode(errors="replace")), *sideband(1, report), FLUSH])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000]
