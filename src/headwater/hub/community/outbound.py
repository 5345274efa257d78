"""One bounded HTTP request to an address that a stranger chose.

1. Look the host up once. 2. Refuse every address that is not on the public internet, unless a setting names it. 3. Connect
to that very address, so that a second look-up cannot lead elsewhere. 4. Follow no redirects. 5. Read only so much of
the answer, and only so long.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from headwater.hub.community.errors import AddressRefused

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 2_000

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Ways to write an IPv4 address inside an IPv6 one; what counts is where the packets end up.
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


@dataclass(frozen=True)
class Allowed:
    """What an operator lets webhooks reach besides the public internet: host names, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IpNetwork, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Allowed:
        """Each entry is a network (``10.1.0.0/16``), an address, or a host's name."""
        hosts, networks = set(), []
        for entry in (text.strip() for text in entries):
            if not entry:
                continue
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                hosts.add(entry.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def holds(self, host: str, address: IpAddress) -> bool:
        return host.lower().rstrip(".") in self.hosts or any(
            address.version == network.version and address in network for network in self.networks
        )


@dataclass(frozen=True)
class Answer:
    """What the receiver said: its status and the beginning of its body."""

    status: int
    text: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def is_public(address: IpAddress) -> bool:
    """Whether packets to ``address`` leave for the public internet.

    IPv6 forms that carry an IPv4 address are judged by that one; forms whose route depends on the network are refused.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None:
            return is_public(address.sixtofour)
        if address.teredo is not None or address.is_site_local or (int(address) >> 32) == 0:
            return False
        if any(address in network for network in _NAT64):
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not (
        address.is_multicast
        or address.is_private
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
    )


def resolve(host: str, port: int, allowed: Allowed) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Every address of ``host``, if all of them may be reached.

    One refused among several refuses all: a name that points both ways is no honest mistake.

    Raises:
        AddressRefused: as said above.
        OSError: the name is unknown.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    out: list[tuple[socket.AddressFamily, tuple[str, int]]] = []
    for family, _kind, _protocol, _name, where in found:
        address = ipaddress.ip_address(str(where[0]).partition("%")[0])
        if not (is_public(address) or allowed.holds(host, address)):
            raise AddressRefused(host)
        out.append((family, (str(address), port)))
    return out


def post(url: str, body: bytes, headers: Mapping[str, str], *, allowed: Allowed) -> Answer:
    """POST ``body``; an answer of any status is returned, a redirect among them.

    Raises:
        AddressRefused: the host leads into a network that is not allowed.
        OSError, http.client.HTTPException: no answer in time, or none that is HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    sock = _connect(resolve(host, port, allowed))
    # A peer that drips one byte at a time outlives every per-read time limit; this ends it. A duplicate, because TLS
    # takes the socket over.
    guard = sock.dup()
    clock = threading.Timer(max(0.1, deadline - time.monotonic()), _shut, (guard,))
    clock.daemon = True
    clock.start()
    try:
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, port, timeout=TOTAL_TIMEOUT_S)
        connection.sock = sock
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {**headers, "Connection": "close"})
        response = connection.getresponse()
        text = response.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
        if time.monotonic() >= deadline:  # what was cut off by the clock may look whole
            raise TimeoutError(f"no complete answer within {TOTAL_TIMEOUT_S:g} s")
        return Answer(response.status, text)
    finally:
        clock.cancel()
        sock.close()
        guard.close()


def _connect(addresses: list[tuple[socket.AddressFamily, tuple[str, int]]]) -> socket.socket:
    failure: OSError = OSError("the host has no address")
    for family, where in addresses[:4]:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(CONNECT_TIMEOUT_S)
        try:
            sock.connect(where)
        except OSError as exc:
            sock.close()
            failure = exc
        else:
            sock.settimeout(TOTAL_TIMEOUT_S)
            return sock
    raise failure


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
