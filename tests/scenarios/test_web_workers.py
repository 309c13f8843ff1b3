"""Long bodies of a generic origin, read cold through several real workers: once from the origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kit.asking import Answer, ask
from tests.kit.node import Node, NodePlan
from tests.kit.procfs import snapshot
from tests.kit.waiting import until
from tests.kit.weborigin import Document, WebSite

MIB = 1024 * 1024
SIZE = 48 * MIB
CONTENT = bytes(range(256)) * (SIZE // 256)
FRESH = {"Cache-Control": "max-age=600", "Accept-Ranges": "bytes"}
CLIENTS = 8


@pytest.fixture
async def site() -> AsyncIterator[WebSite]:
    async with WebSite.open() as opened:
        yield opened


@asynccontextmanager
async def running(folder: Path, site: WebSite, workers: int) -> AsyncIterator[Node]:
    settings = {"origin.kind": "http", "origin.read_timeout": "20s"}
    node = Node(NodePlan(folder, site.url, (), (f"{folder / 'disk'}=512MiB",), workers, settings))
    try:
        yield await node.start()
    finally:
        await node.kill()


async def whole(node: Node, _: int) -> None:
    assert (await ask(node.url, "GET", "/a", {})).body == CONTENT


async def half(node: Node, number: int) -> None:
    """Each begins a sixteenth further on."""
    start = number * SIZE // 16
    stop = start + SIZE // 2
    answer = await ask(node.url, "GET", "/a", {"Range": f"bytes={start}-{stop - 1}"})
    assert answer.body == CONTENT[start:stop]


# A machine that stands still for a quarter of a second lets a range be asked for that comes: of 4 MiB, twice at most.
@pytest.mark.parametrize(
    ("reads", "wanted", "most"),
    [(whole, SIZE, 1.02), (half, 15 * SIZE // 16, 1.25)],
    ids=["wholes", "overlapping ranges"],
)
@pytest.mark.parametrize("workers", [2, 4])
async def test_eight_cold_readers_cost_the_origin_one_body(
    site: WebSite,
    tmp_path: Path,
    workers: int,
    reads: Callable[[Node, int], Awaitable[None]],
    wanted: int,
    most: float,
) -> None:
    site.at("/a", Document(CONTENT, FRESH, rate=60e6))
    async with running(tmp_path, site, workers) as node:
        await asyncio.gather(*(reads(node, number) for number in range(CLIENTS)))
    assert wanted <= site.sent <= most * wanted


async def test_another_worker_goes_on_at_once_where_a_killed_one_was(site: WebSite, tmp_path: Path) -> None:
    site.at("/a", Document(CONTENT, FRESH, rate=20e6))
    async with running(tmp_path, site, 2) as node:
        asking = [asyncio.create_task(ask(node.url, "GET", "/a", {})) for _ in range(3 * CLIENTS)]
        await until(lambda: site.sent > SIZE // 4, "some of it has come")
        (reading,) = [pid for pid in node.workers if snapshot(pid, node.ports).descriptors.upstream]
        await node.kill_worker(reading)
        await until(lambda: len(site.asked) == 2, "the other asks for the rest", within=3.0)
        answers = await asyncio.gather(*asking, return_exceptions=True)
    served = [answer for answer in answers if isinstance(answer, Answer)]
    assert served
    assert all(answer.body == CONTENT for answer in served)
    assert (site.asked[1]["Range"] or "").endswith(f"-{SIZE - 1}")
    assert len(site.asked) == 2
