"""Many small requests whose answers have no body: HEAD, for which wrk would wait in vain.

A loop over bare sockets that looks at no more than where an answer begins and ends, so that the server is what is
measured: a client that parses would be the slower of the two.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Final

from .asking import Many, Unexpected

_ROOM: Final = 64 << 10
_SILENCE: Final = 10.0
_END: Final = b"\r\n\r\n"


def again_and_again(address: tuple[str, int], text: bytes, *, connections: int, seconds: float) -> Many:
    """`text`, a request that is answered without a body, on each connection as soon as the one before is answered.

    Takes the calling thread. Raises Unexpected for any answer but 200, or none."""
    with contextlib.ExitStack() as stack:
        poll = select.epoll()
        stack.callback(poll.close)
        open_: dict[int, socket.socket] = {}
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection(address))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            open_[sock.fileno()] = sock
            poll.register(sock, select.EPOLLIN)
            sock.sendall(text)
        began = time.monotonic()
        return Many(_counted(poll, open_, text, began + seconds), time.monotonic() - began)


def _counted(poll: select.epoll, open_: dict[int, socket.socket], text: bytes, until: float) -> int:
    count, parts = 0, dict.fromkeys(open_, b"")
    while time.monotonic() < until:
        ready = poll.poll(_SILENCE)
        if not ready:
            raise Unexpected("no answer came")
        for fd, _ in ready:
            said = parts[fd] + open_[fd].recv(_ROOM)
            if said.endswith(_END):
                if not said.startswith(b"HTTP/1.1 200 "):
                    raise Unexpected(f"status {said[9:12].decode(errors='replace')}")
                parts[fd], count = b"", count + 1
                open_[fd].send(text)
            elif said == parts[fd]:
                raise Unexpected("a connection ended")
            else:
                parts[fd] = said
    return count
