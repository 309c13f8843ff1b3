"""Connections that we make to others: sockets that notice who is gone, and a word on what broke."""

from __future__ import annotations

import socket
from typing import Any


def watchful_socket(address_info: Any, *, idle: int, interval: int) -> socket.socket:
    """A socket for the address (as of `getaddrinfo`) that notices a peer that is gone: after `idle` seconds without a
    byte, and three unanswered probes every `interval` seconds. Raises OSError."""
    family, kind, protocol, _, _ = address_info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return made


def in_short(error: BaseException) -> str:
    """A word on an error: the system's where there is one, else its class. Never its text, which may hold a presigned
    address."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
