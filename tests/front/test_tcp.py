"""What a connection costs the kernel: little for a reader that stalls, as much as the path needs for a fast one."""

from __future__ import annotations

import asyncio
import os
import socket

from proxy.core.sizes import KIB, MIB
from proxy.front import tcp
from proxy.front.limits import Limits
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import Node, serving


def _socket(node: Node) -> socket.socket:
    """The node's end of its one connection."""
    (connection,) = node.gate._connections.values()
    sock: socket.socket = connection.transport.get_extra_info("socket")
    return sock


async def _until_still(sock: socket.socket) -> int:
    """What is not acknowledged, once it is no more than before."""
    waiting, before = tcp.unacknowledged(sock.fileno()), -1
    while waiting != before:
        await asyncio.sleep(0.1)
        waiting, before = tcp.unacknowledged(sock.fileno()), waiting
    return waiting


async def test_stalled_reader_costs_the_kernel_no_more_than_the_send_buffer(coordinator: FakeCoordinator) -> None:
    coordinator.add("a.bin", os.urandom(20 * MIB))
    async with serving(coordinator, Limits(send_buffer=64 * KIB)) as node, node.client(receive_buffer=32 * KIB) as slow:
        await slow.send(at_commit("a.bin"))
        await slow.head()
        assert 0 < await _until_still(_socket(node)) <= 64 * KIB


async def test_fast_reader_s_buffer_grows_with_what_its_path_takes(coordinator: FakeCoordinator) -> None:
    """A buffer of a fixed size is a fixed speed: one buffer per round trip."""
    content = os.urandom(20 * MIB)
    coordinator.add("a.bin", content)
    limits = Limits(send_buffer=64 * KIB)
    async with serving(coordinator, limits) as node, node.client() as fast:
        await fast.send(at_commit("a.bin"))
        assert (await fast.answer()).body == content
        assert _socket(node).getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > 4 * limits.send_buffer
