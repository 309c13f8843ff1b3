"""Which network addresses a redirect may lead to: public ones, however they are spelt.

A name that resolved to a public address a moment ago may resolve to a private one now (rebinding), so this is asked
about the very address that is about to be connected to (RELIABILITY §3.4).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_V4_COMPATIBLE: Final = IPv6Network("::/96")
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")


def is_public(text: str) -> bool:
    """Whether `text` is the address of a host on the public internet; an embedded IPv4 address counts as itself."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        embedded = _embedded(address)
        if embedded:
            return all(map(_is_public, embedded))
    return _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not (isinstance(address, IPv6Address) and address.is_site_local)
    )


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a packet to `address` may end at: v4-mapped, v4-compatible, translated, NAT64, 6to4,
    Teredo (server and client)."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if any(address in network for network in (*_NAT64, _V4_COMPATIBLE, _TRANSLATED)):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()
