"""What an answer under way brings in a moment is not asked for again, at whichever worker it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.fetch.web.on_its_way import Seen, comes
from tests.kit.asking import Answer
from tests.kit.waiting import until
from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Asked, Document, WebSite, Wire

MIB = 1024 * 1024
SIZE = 24 * MIB
CONTENT = bytes(range(256)) * (SIZE // 256)
FRESH = {"Cache-Control": "max-age=600", "Accept-Ranges": "bytes"}

Pair = tuple[WebNode, WebNode]
STANDS = Seen(7 * MIB, 0.0, 0.0)
FAST = Seen(7 * MIB, 100e6, 0.0)

ROWS: list[tuple[str, int, int, int, float, Seen | None, bool]] = [
    ("just before it", 0, 0, 0, 0.0, None, True),
    ("just before it, a while", 0, 0, 0, 0.9, None, True),
    ("just before it, too long", 0, 0, 0, 1.0, None, False),
    ("just before it, and seen to stand", 0, 7 * MIB, 0, 0.0, STANDS, False),
    ("just before it, another one stands", 0, 8 * MIB, 0, 0.0, STANDS, True),
    ("nobody has looked", 9 * MIB, 0, 0, 0.1, None, True),
    ("fast enough", 9 * MIB, 0, 6 * MIB, 0.3, None, True),
    ("too slow", 9 * MIB, 0, 2 * MIB, 0.3, None, False),
    ("nothing comes", MIB, 0, 0, 0.3, None, False),
    ("seen to be fast", 40 * MIB, 0, 0, 0.0, FAST, True),
    ("seen to be too slow", 60 * MIB, 0, 0, 0.0, FAST, False),
    ("seen to stand", MIB, 7 * MIB, 0, 0.0, STANDS, False),
    ("another one stands", MIB, 8 * MIB, 0, 0.0, STANDS, True),
]


@pytest.mark.parametrize("row, left, front, gained, seconds, seen, waits", ROWS, ids=[row[0] for row in ROWS])
def test_who_waits_for_an_answer(
    row: str, left: int, front: int, gained: int, seconds: float, seen: Seen | None, waits: bool
) -> None:
    assert comes(left, front, gained, seconds, seen) is waits


@pytest.fixture
async def pair(site: WebSite, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two workers of one node, each with a port of its own."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(web_node(tmp_path, site.url, worker=worker, server__workers=2))
            for worker in range(2)
        ]
        yield first, second


async def test_a_cold_whole_is_one_request_of_all_workers(site: WebSite, pair: Pair) -> None:
    site.at("/a", Document(CONTENT, FRESH, rate=40e6))
    answers = await asyncio.gather(*(node.get("/a") for node in pair for _ in range(4)))
    assert all(answer.body == CONTENT for answer in answers)
    assert (site.sent, len(site.asked)) == (SIZE, 1)


async def test_who_reads_later_follows_and_asks_for_nothing(site: WebSite, pair: Pair) -> None:
    site.at("/a", Document(CONTENT, FRESH, rate=40e6))
    first = asyncio.create_task(pair[0].get("/a"))
    await until(lambda: site.sent > 4 * MIB, "some of it has come")
    part = await pair[1].get("/a", range="bytes=0-15999999")
    assert part.body == CONTENT[:16_000_000]
    assert (await first).body == CONTENT
    assert (site.sent, len(site.asked)) == (SIZE, 1)


@pytest.mark.parametrize("where", [0, 1], ids=["the same worker", "another worker"])
async def test_41_what_would_take_long_is_asked_for_and_no_more(site: WebSite, pair: Pair, where: int) -> None:
    gate = asyncio.Event()
    parts = Document(CONTENT, FRESH)

    async def stopping(asked: Asked, wire: Wire) -> None:
        if asked["Range"] is not None:
            await parts(asked, wire)
            return
        await wire.head(200, {**FRESH, "ETag": '"v1"', "Content-Length": str(SIZE)})
        await wire.body(CONTENT[: 4 * MIB])
        await gate.wait()
        await wire.body(CONTENT[4 * MIB :])

    site.at("/a", stopping)
    async with pair[0].reading("/a") as whole, asyncio.timeout(20):
        start = await whole.content.readexactly(MIB)
        last = await pair[where].get("/a", range="bytes=-1000")
        gate.set()
        assert start + await whole.read() == CONTENT
    assert last.body == CONTENT[-1000:]
    assert [asked["Range"] for asked in site.asked] == [None, f"bytes={SIZE - MIB}-{SIZE - 1}"]


async def test_when_the_first_leaves_another_worker_goes_on_where_it_was(site: WebSite, pair: Pair) -> None:
    site.at("/a", Document(CONTENT, FRESH, rate=16e6))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(pair[0].reading("/a", range="bytes=0-23999999"))
        await first.content.readexactly(MIB)
        second: asyncio.Task[Answer] = asyncio.create_task(pair[1].get("/a"))
        await until(lambda: pair[1].page.total("requests_in_flight") == 1, "the second is there")
        await stack.aclose()
    assert (await second).body == CONTENT
    rest = [asked["Range"] for asked in site.asked][1:]
    assert len(rest) <= 2
    assert all(asked is not None and asked.endswith(f"-{SIZE - 1}") for asked in rest[-1:])
