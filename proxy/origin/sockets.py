"""Sockets towards origins: they notice a peer that is gone, and those that are guarded go to public addresses only."""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from proxy.core.connections import watchful_socket

from .addresses import is_public

NOT_PUBLIC: Final = "not a public address"


class ForbiddenAddress(OSError):
    """An address that a redirect may not lead to."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EPERM, f"{address} is {NOT_PUBLIC}")


def plain_socket(address_info: Any) -> socket.socket:
    """A socket that notices a peer that is gone."""
    return watchful_socket(address_info, idle=30, interval=10)


def guarded_socket(address_info: Any) -> socket.socket:
    """A socket for exactly this address, if it is public. Asked at connect time, per attempt: no name can turn after
    the check. Raises ForbiddenAddress."""
    address = str(address_info[4][0])
    if not is_public(address):
        raise ForbiddenAddress(address)
    return plain_socket(address_info)


def is_literal(host: str) -> bool:
    """Whether `host` is an address, not a name."""
    return ":" in host or host.replace(".", "").isdigit()
