"""Answers before the answer (RFC 9110 §15.2): passed on to who waits, and to nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.kit.waiting import until
from tests.kit.webnode import WebNode
from tests.kit.weborigin import Answering, Asked, Reply, WebSite, Wire

FRESH = {"Cache-Control": "max-age=60"}
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


class Raw:
    """A connection on which every head is seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def ask(self, target: str, version: str = "1.1") -> None:
        self._writer.write(f"GET {target} HTTP/{version}\r\nHost: here\r\n\r\n".encode())

    async def head(self) -> tuple[int, bytes]:
        """The status of the next head, and the head."""
        async with asyncio.timeout(5):
            got = await self._reader.readuntil(b"\r\n\r\n")
        return int(got.split(b" ")[1]), got.lower()

    async def body(self, size: int) -> bytes:
        return await self._reader.readexactly(size)

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def raw(node: WebNode) -> AsyncIterator[Raw]:
    host, _, port = node.url.removeprefix("http://").rpartition(":")
    opened = Raw(*await asyncio.open_connection(host, int(port)))
    yield opened
    opened.close()


def before(reply: Reply, *interim: bytes) -> Answering:
    async def answering(asked: Asked, wire: Wire) -> None:
        for one in interim:
            await wire.raw(one)
        await reply(asked, wire)

    return answering


async def test_9110_15_2_an_interim_answer_comes_first_and_is_not_kept(site: WebSite, raw: Raw) -> None:
    site.at("/a", before(Reply(200, FRESH), HINT))
    raw.ask("/a")
    status, head = await raw.head()
    assert (status, b"\r\nlink: </a.css>; rel=preload\r\n" in head) == (103, True)
    for _ in range(2):
        status, head = await raw.head()
        assert (status, await raw.body(2), b"link" in head) == (200, b"ok", False)
        raw.ask("/a")
    assert len(site.asked) == 1


async def test_9110_7_6_1_fields_of_one_connection_stay_behind(site: WebSite, raw: Raw) -> None:
    hint = b"HTTP/1.1 103 Hints\r\nConnection: X-Own\r\nX-Own: a\r\nX-End: b\r\nContent-Length: 5\r\n\r\n"
    site.at("/a", before(Reply(200, FRESH), hint))
    raw.ask("/a")
    status, head = await raw.head()
    assert (status, b"x-end: b" in head) == (103, True)
    assert b"x-own" not in head
    assert b"content-length" not in head


@pytest.mark.parametrize(
    ("version", "interim"), [("1.0", HINT), ("1.1", b"HTTP/1.1 100 Continue\r\n\r\n")], ids=["HTTP/1.0", "100"]
)
async def test_9110_15_2_what_is_not_passed_on(site: WebSite, raw: Raw, version: str, interim: bytes) -> None:
    site.at("/a", before(Reply(200, FRESH), interim))
    raw.ask("/a", version)
    assert (await raw.head())[0] == 200


async def test_an_interim_answer_never_stands_before_the_answer_to_another_request(
    site: WebSite, node: WebNode, raw: Raw
) -> None:
    stale, told = {"Cache-Control": "max-age=0, stale-while-revalidate=60"}, asyncio.Event()

    async def answering(asked: Asked, wire: Wire) -> None:
        if asked.number:
            await told.wait()
            await wire.raw(HINT)
        await wire.reply(200, FRESH if asked.number else stale, b"no" if asked.number else b"ok")

    async def is_new() -> bool:
        return (await node.get("/a")).body == b"no"

    site.at("/a", answering)
    site.at("/b", Reply(200, FRESH, b"other"))
    await node.get("/a")
    raw.ask("/a")
    assert ((await raw.head())[0], await raw.body(2)) == (200, b"ok")
    told.set()
    await until(is_new, "the answer behind the hint is kept")
    await asyncio.sleep(0.05)
    raw.ask("/b")
    assert (await raw.head())[0] == 200


async def test_a_client_that_left_before_the_interim_answer_harms_nobody(
    site: WebSite, node: WebNode, raw: Raw
) -> None:
    told = asyncio.Event()

    async def answering(asked: Asked, wire: Wire) -> None:
        await told.wait()
        await wire.raw(HINT)
        await wire.reply(200, FRESH, b"ok")

    site.at("/a", answering)
    raw.ask("/a")
    await until(lambda: len(site.requests("/a")) == 1, "the origin is asked")
    joined = asyncio.ensure_future(node.get("/a"))
    raw.close()
    told.set()
    assert (await joined).body == b"ok"
