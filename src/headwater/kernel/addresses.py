"""Addresses of clients, each written in one way only."""

from __future__ import annotations

import hashlib
import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def plain_address(address: str) -> str:
    """An IPv4 client that reached a socket of IPv6 (``::ffff:192.0.2.1``) by its own address; all else as it is."""
    if ":" not in address:
        return address
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return address if mapped is None else str(mapped)


def network(text: str) -> Network:
    """An address or a network, where plain addresses lie in it: of IPv4 where it is written as such in IPv6.

    Raises:
        ValueError: it is neither.
    """
    found = ipaddress.ip_network(text, strict=False)
    mapped = found.network_address.ipv4_mapped if found.version == 6 else None
    if mapped is None or found.prefixlen < 96:
        return found
    return ipaddress.ip_network((mapped, found.prefixlen - 96))


def network_of(address: str) -> str:
    """An IPv6 client has 2^64 addresses to try from: its /64 counts as one. This machine itself counts as itself."""
    address = plain_address(address)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and not parsed.is_loopback:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def digest_of_network(address: str) -> str:
    """Stands for ``network_of(address)`` where an address itself is not to be kept; always of one length."""
    return hashlib.sha256(network_of(address).encode()).hexdigest()[:32]


def is_loopback(address: str) -> bool:
    """Whether it is this machine itself."""
    try:
        return ipaddress.ip_address(plain_address(address)).is_loopback
    except ValueError:
        return False
