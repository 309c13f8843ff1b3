"""Polite, urgent, and too late."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.config.schema import Config, ServerSection
from proxy.service.drain import StopOrder, drained


class Node:
    """Notes what it is asked; its drain lasts until `finished`."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.finished = asyncio.Event()
        self.draining = asyncio.Event()
        self.retired = asyncio.Event()

    def ready(self) -> list[str]:
        return []

    def retire(self) -> None:
        self.told.append("retire")
        self.retired.set()

    async def drain(self, *, gently: bool = False) -> None:
        self.draining.set()
        self.told += ["gently"] if gently else []
        try:
            await self.finished.wait()
        except asyncio.CancelledError:
            self.told.append("cut")
            raise
        self.told.append("drained")

    def reload(self, config: Config) -> None: ...

    def status(self) -> dict[str, Any]:
        return {}


def server(**values: str) -> ServerSection:
    return ServerSection.model_validate(values)


async def test_a_node_that_finishes_is_not_cut() -> None:
    node, order = Node(), StopOrder()
    node.finished.set()
    assert await drained(node, order, server())
    assert node.told == ["retire", "drained"]


async def test_a_node_that_lasts_longer_than_its_timeout_is_cut() -> None:
    node = Node()
    assert not await drained(node, StopOrder(), server(drain_timeout="10ms"))
    assert node.told == ["retire", "cut"]


async def test_a_second_signal_cuts_the_delay_and_the_drain() -> None:
    node, order = Node(), StopOrder()
    order.signalled()
    order.signalled()
    assert not await drained(node, order, server(drain_delay="1h", drain_timeout="1h"))
    assert node.told[0] == "retire"


async def test_a_node_is_unready_before_it_closes_its_port() -> None:
    node, order = Node(), StopOrder()
    drain = asyncio.create_task(drained(node, order, server(drain_delay="1h")))
    await node.retired.wait()
    assert not node.draining.is_set()
    order.hurry()
    await drain
