"""The same request again and again, on bare sockets: a load that costs less than the servers it is for.

python -m bench.rush HOST:PORT PATH --size BYTES [--connections 16] [--seconds 3] [--field "Cookie: a=b"]

It looks at no more of an answer than where its head ends and how it begins; bodies are thrown away in the kernel.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_ROOM: Final = 64 << 10
_MOST: Final = 1 << 20
_SILENCE: Final = 10.0
_END: Final = b"\r\n\r\n"
_GOOD: Final = (b"HTTP/1.1 200 ", b"HTTP/1.1 206 ")


class Refused(Exception):
    """An answer that is an error, or none."""


@dataclass(frozen=True, slots=True)
class Rush:
    """How many requests were answered in how many seconds; `received`: bytes of bodies, of unfinished ones too."""

    requests: int
    seconds: float
    received: int


@dataclass(slots=True)
class _Asking:
    """One connection: what has come of a head, or how many bytes of a body are left."""

    sock: socket.socket
    head: bytes = b""
    left: int = 0


def again_and_again(address: tuple[str, int], text: bytes, *, size: int = 0, connections: int, seconds: float) -> Rush:
    """`text`, a request that is answered with `size` bytes, on each connection as soon as the one before is answered.

    Takes the calling thread. Raises Refused for any answer but 200 and 206, or none."""
    with contextlib.ExitStack() as stack:
        poll = select.epoll()
        stack.callback(poll.close)
        open_: dict[int, _Asking] = {}
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection(address))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            open_[sock.fileno()] = _Asking(sock)
            poll.register(sock, select.EPOLLIN)
            sock.sendall(text)
        began = time.monotonic()
        count = _counted(poll, open_, text, size, began + seconds)
        received = count * size + sum(size - one.left for one in open_.values() if one.left)
        return Rush(count, time.monotonic() - began, received)


def _counted(poll: select.epoll, open_: Mapping[int, _Asking], text: bytes, size: int, until: float) -> int:
    count, room = 0, bytearray(_MOST)
    while time.monotonic() < until:
        ready = poll.poll(_SILENCE)
        if not ready:
            raise Refused("no answer came")
        for fd, _ in ready:
            one = open_[fd]
            if not (_more_of_body(one, room) if one.left else _head_ended(one, size)):
                continue
            count += 1
            one.sock.send(text)
    return count


def _head_ended(one: _Asking, size: int) -> bool:
    """Whether the answer is over with this; else its head, or its body, goes on. Raises Refused."""
    said = one.head + one.sock.recv(_ROOM)
    end = said.find(_END)
    if end < 0:
        if said == one.head:
            raise Refused("a connection ended")
        one.head = said
        return False
    if not said.startswith(_GOOD):
        raise Refused(f"status {said[9:12].decode(errors='replace')}")
    one.head, one.left = b"", size - (len(said) - end - len(_END))
    return not one.left


def _more_of_body(one: _Asking, room: bytearray) -> bool:
    """Whether that is its end. Raises Refused."""
    count = one.sock.recv_into(room, _MOST, socket.MSG_TRUNC)
    if not count:
        raise Refused("a connection ended within a body")
    one.left -= count
    return not one.left


def main() -> int:
    parser = argparse.ArgumentParser(description="The same request again and again.")
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("path")
    parser.add_argument("--size", type=int, required=True, help="bytes of the body")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--field", action="append", default=[], help="of the request, with its name")
    given = parser.parse_args()
    host, _, port = given.address.rpartition(":")
    lines = [f"GET {given.path} HTTP/1.1", f"Host: {given.address}", *given.field, "", ""]
    text = "\r\n".join(lines).encode()
    try:
        done = again_and_again(
            (host, int(port)), text, size=given.size, connections=given.connections, seconds=given.seconds
        )
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    told = {"requests": done.requests, "seconds": done.seconds, "received": done.received}
    print(json.dumps({**told, "cpu": time.process_time()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
