"""A node before a generic origin, killed with -9 (HTTP-CACHE rows 66-68)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.kit.asking import ask
from tests.kit.node import Node, NodePlan
from tests.kit.waiting import until
from tests.kit.weborigin import Document, Reply, WebSite

MIB = 1024 * 1024
CONTENT = bytes(index * 31 % 253 for index in range(12 * MIB))


@pytest.fixture
async def killed(site: WebSite, tmp_path: Path) -> AsyncIterator[Node]:
    """A process of its own, on a disk that outlives it."""
    plan = NodePlan(tmp_path, site.url, (), (f"{tmp_path / 'disk'}=256MiB",), settings={"origin.kind": "http"})
    node = Node(plan)
    try:
        yield await node.start()
    finally:
        await node.kill()


async def test_66_67_68_what_was_kept_is_served_and_what_had_come_is_not_fetched_again(
    site: WebSite, killed: Node
) -> None:
    site.at("/small", Reply(fields={"Cache-Control": "max-age=600"}))
    site.at("/large", Document(CONTENT, {"Cache-Control": "max-age=600"}, rate=8e6))
    assert (await ask(killed.url, "GET", "/small", {})).body == b"ok"
    async with aiohttp.ClientSession() as session, session.get(f"{killed.url}/large") as answer:
        await answer.content.readexactly(6 * MIB)
        await killed.kill()
    sent = site.sent
    await killed.start()
    await until(killed.is_ready, "it is ready again")
    assert (await ask(killed.url, "GET", "/small", {})).body == b"ok"
    assert (await ask(killed.url, "GET", "/large", {})).body == CONTENT
    assert len(site.requests("/small")) == 1
    assert site.sent - sent <= len(CONTENT) - 4 * MIB
