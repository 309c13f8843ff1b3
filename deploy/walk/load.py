"""What clients do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from proxy.core.tasks import TaskSet
from tests.kit.node import Node


@asynccontextmanager
async def again_and_again(act: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """`act` is done over and over as long as the block lasts; what it raises ends the walk."""

    async def over_and_over() -> None:
        while True:
            await act()
            await asyncio.sleep(0.02)

    async with TaskSet("load") as tasks:
        load = tasks.start(over_and_over(), "load")
        try:
            yield
        finally:
            load.cancel()
            with suppress(asyncio.CancelledError):
                await load


@asynccontextmanager
async def connected(node: Node, count: int) -> AsyncIterator[None]:
    """So many clients are connected; those that the node closes are not connected again."""
    writers = []
    try:
        for _ in range(count):
            with suppress(OSError):
                _, writer = await asyncio.open_connection(node.data.host, node.data.port)
                writers.append(writer)
        yield
    finally:
        for writer in writers:
            writer.close()


async def pipelined(node: Node, count: int) -> None:
    """So many requests on one connection, the next before the answer to the last."""
    reader, writer = await asyncio.open_connection(node.data.host, node.data.port)
    head = b"GET /-/livez HTTP/1.1\r\nHost: mirror\r\n"
    try:
        writer.write((head + b"\r\n") * (count - 1) + head + b"Connection: close\r\n\r\n")
        await reader.read()
    finally:
        writer.close()
