"""The listening socket of the data port.

uvloop accepts one connection per turn of its loop and socket. A turn is long when many readers are under way, so behind
a single watch a hundred new connections, health checks among them, would wait for a hundred long turns. Hence several
watches on one socket: each is a duplicate of its descriptor, and each takes one connection per turn.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from .gate import Gate

WATCHES: Final = 8
"""Connections taken in one turn of the loop. Each costs a connection that comes alone a vain accept(2), about 5 us."""


class Listener:
    """A socket that is listened on; made by `listen`."""

    def __init__(self, servers: list[asyncio.Server]) -> None:
        self._servers = servers

    def close(self) -> None:
        """Take no more connections. Those that are open stay."""
        for server in self._servers:
            server.close()


async def listen(
    gate: Gate, sock: socket.socket, *, tls: ssl.SSLContext | None = None, backlog: int = 4096
) -> Listener:
    """Serve the bound socket `sock`, which is the listener's from now on. Close it first, then `gate.drain()`."""
    loop = asyncio.get_running_loop()
    watched = [sock, *(sock.dup() for _ in range(WATCHES - 1))]
    return Listener([await loop.create_server(gate, sock=one, ssl=tls, backlog=backlog) for one in watched])
