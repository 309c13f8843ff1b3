"""Taking connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.front.fakes import FakeCoordinator
from tests.front.node import serving, until

CROWD = 100
TURNS = 30


async def test_crowd_of_new_connections_is_taken_in_few_turns_of_the_loop(coordinator: FakeCoordinator) -> None:
    """A turn is long while many readers are under way: one connection per turn would keep health checks out."""
    async with serving(coordinator) as node, contextlib.AsyncExitStack() as stack:
        for _ in range(CROWD):  # the kernel completes them; nobody here has had a turn yet
            stack.enter_context(socket.create_connection(node.address))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert len(node.gate) == CROWD


async def test_closed_listener_takes_no_more_and_frees_its_port(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client():
        await until(lambda: len(node.gate) == 1)
        node.listener.close()
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(node.address)
        assert len(node.gate) == 1
