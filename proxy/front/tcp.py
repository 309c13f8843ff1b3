"""Socket options and the kernel's own account of a connection. Linux only."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Final

from proxy.core.sizes import KIB

from .backlog import Backlog

TCP_NOTSENT_LOWAT: Final = 25
"""From linux/tcp.h; Python's socket module does not name it."""


def tune(transport: asyncio.BaseTransport, *, send_buffer: int, user_timeout: float) -> Backlog:
    """Bound what a slow reader of `transport` costs: about `send_buffer` bytes of kernel memory, `user_timeout` seconds
    without an acknowledgement. No Nagle: answers are written whole.

    Bounded is what waits behind the wire, not what is on it (docs/decisions/0006): SO_SNDBUF is left to the kernel,
    since a fixed one ends its tuning, and with it any speed beyond one buffer per round trip."""
    backlog = Backlog(send_buffer)
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return backlog
    with suppress(OSError):  # the peer may be gone already
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, _unsent(send_buffer))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(user_timeout * 1000))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return backlog


def bound_unsent(transport: asyncio.BaseTransport, send_buffer: int) -> None:
    """From now on about `send_buffer` bytes may wait behind the wire, as in `tune`."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError, ValueError):  # ValueError: uvloop's word for a transport that has closed meanwhile
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, _unsent(send_buffer))


def _unsent(send_buffer: int) -> int:
    # half, because it is looked at before each piece is taken, and the kernel's own books cost as well
    return max(16 * KIB, send_buffer // 2)


def cork(sock: socket.socket, *, on: bool) -> None:
    """Hold partial segments back (`on`), so that a head and the first bytes behind it share one; or let them go.

    Of a socket of our own: what uvloop shows of a transport's makes a duplicate for each call, which costs 10 µs."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(on))


def unacknowledged(fd: int) -> int:
    """Bytes in the kernel that the peer has not acknowledged yet (SIOCOUTQ, the number of TIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0])


def client_address(transport: asyncio.BaseTransport) -> str:
    """Where its other end is, without the port; "unix" where there is none."""
    peername = transport.get_extra_info("peername")
    return str(peername[0]) if isinstance(peername, tuple) and peername else "unix"
