"""How a node stops: first politely, then at once.

order.leave()   another process has our place: take no more connections, and what is open ends by itself
order.begin()   SIGTERM: unready → drain_delay → port closed → downloads finish, for drain_timeout at most
order.hurry()   a second SIGTERM: now
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable
from typing import Final

from proxy.config.schema import ServerSection
from proxy.core.tasks import TaskSet

from .node import Node

log: Final = logging.getLogger(__name__)


class StopOrder:
    """The order to stop, and how urgently."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.begun = asyncio.Event()
        self.hurried = asyncio.Event()

    def leave(self) -> None:
        self.left.set()

    def begin(self) -> None:
        self.left.set()
        self.begun.set()

    def hurry(self) -> None:
        self.begin()
        self.hurried.set()

    def signalled(self) -> None:
        """SIGTERM or SIGINT came: the first is polite, the second is not, the third ends a process that hangs."""
        if self.hurried.is_set():
            os._exit(1)
        if self.begun.is_set():
            self.hurry()
        else:
            self.begin()


async def drained(node: Node, order: StopOrder, server: ServerSection) -> bool:
    """Let `node` end what it does; True when nothing had to be cut."""
    log.info("draining", extra={"delay": server.drain_delay, "timeout": server.drain_timeout})
    node.retire()
    if server.drain_delay:
        await unless_hurried(asyncio.sleep(server.drain_delay), order, server.drain_delay + 1)
    done = await unless_hurried(node.drain(), order, server.drain_timeout)
    if not done:
        log.warning("drain cut short", extra={"hurried": order.hurried.is_set(), "timeout": server.drain_timeout})
    return done


async def left(node: Node, order: StopOrder, server: ServerSection) -> None:
    """Let what `node` has open end by itself: nobody waits for this process any more. When the order to stop comes
    meanwhile, that goes on as `drained`."""
    log.info("leaving to another process", extra={"timeout": server.leave_timeout})
    if await _unless(node.drain(gently=True), order.begun, server.leave_timeout):
        return
    if order.begun.is_set():
        await drained(node, order, server)
    else:
        log.warning("leaving cut short", extra={"timeout": server.leave_timeout})


async def unless_hurried(step: Awaitable[None], order: StopOrder, timeout: float) -> bool:
    """Wait for `step`, at most `timeout` seconds and until the order is urgent; True when it ended by itself."""
    return await _unless(step, order.hurried, timeout)


async def _unless(step: Awaitable[None], event: asyncio.Event, timeout: float) -> bool:
    async def run() -> None:
        await step

    async with TaskSet("drain") as tasks:
        going = tasks.start(run(), "step")
        urgent = tasks.start(event.wait(), "event")
        await asyncio.wait((going, urgent), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not going.done():
            return False  # Leaving the task set cancels it.
        going.result()
        return True
