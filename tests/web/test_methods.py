"""Everything that is no GET: passed on with its body, and what it makes void (RFC 9110 §9, 9111 §4.4)."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from proxy.origin.sessions import CONTINUES_WITHIN
from tests.kit.waiting import until
from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Asked, Document, Reply, WebSite, Wire

FRESH = {"Cache-Control": "max-age=3600"}


async def is_asked_again(site: WebSite, node: WebNode, target: str) -> bool:
    before = len(site.requests(target, "GET"))
    await node.get(target)
    return len(site.requests(target, "GET")) > before


VOID: list[tuple[str, str, int, dict[str, str], str, bool]] = [
    ("POST", "POST", 200, {}, "/a", True),
    ("PUT", "PUT", 204, {}, "/a", True),
    ("DELETE", "DELETE", 202, {}, "/a", True),
    ("PATCH", "PATCH", 200, {}, "/a", True),
    ("a redirect", "POST", 303, {"Location": "/c"}, "/a", True),
    ("a method nobody knows", "M-SEARCH", 200, {}, "/a", True),
    ("Location", "POST", 201, {"Location": "/b"}, "/b", True),
    ("Content-Location", "POST", 200, {"Content-Location": "b"}, "/b", True),
    ("another site's Location", "POST", 201, {"Location": "http://elsewhere.example/b"}, "/b", False),
    ("an error", "POST", 500, {}, "/a", False),
    ("a refusal", "POST", 403, {}, "/a", False),
    ("OPTIONS", "OPTIONS", 200, {}, "/a", False),
]


@pytest.mark.parametrize("row, method, status, fields, target, void", VOID, ids=[row[0] for row in VOID])
async def test_9111_4_4(
    site: WebSite, node: WebNode, row: str, method: str, status: int, fields: dict[str, str], target: str, void: bool
) -> None:
    async def answering(asked: Asked, wire: Wire) -> None:
        if asked.method == "GET":
            await wire.reply(200, FRESH, b"ok")
        else:
            await wire.reply(status, fields)

    site.at("/a", answering)
    site.at("/b", answering)
    await node.get(target)
    assert not await is_asked_again(site, node, target)
    assert (await node.get("/a", method)).status == status
    assert await is_asked_again(site, node, target) is void


async def test_9111_4_4_an_answer_asked_for_before_the_write_is_not_kept(site: WebSite, node: WebNode) -> None:
    goes_on = asyncio.Event()

    async def answering(asked: Asked, wire: Wire) -> None:
        if asked.method == "GET" and asked.number == 0:
            await goes_on.wait()
        await wire.reply(200, FRESH, b"old" if asked.number == 0 else b"new")

    site.at("/a", answering)
    reading = asyncio.create_task(node.get("/a"))
    await until(lambda: site.asked, "it is asked for")
    await node.get("/a", "PUT", b"new")
    goes_on.set()
    assert (await reading).body == b"old"
    assert (await node.get("/a")).body == b"new"


@pytest.mark.parametrize("is_long", [False, True], ids=["announced", "chunked"])
async def test_a_body_passes_as_it_is_framed(site: WebSite, node: WebNode, is_long: bool) -> None:
    content = bytes(index % 251 for index in range(3_000_000))

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 100_000):
            yield content[at : at + 100_000]

    site.at("/a", Reply(200, {}, b"taken"))
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{node.url}/a", data=pieces() if is_long else io.BytesIO(content)) as answer,
    ):
        assert (answer.status, await answer.read()) == (200, b"taken")
    assert site.asked[0].body == content
    assert site.asked[0]["Content-Length"] == (None if is_long else str(len(content)))


async def test_9110_10_1_1_expect_continue(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(200, {}, b"taken"))
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{node.url}/a", data=b"said", expect100=True) as answer,
    ):
        assert (answer.status, await answer.read()) == (200, b"taken")
    assert site.asked[0].body == b"said"


EXPECTING = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
ASKED_FOR = b"HTTP/1.1 100 Continue\r\n\r\n"
LIVEZ = b"GET /-/livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def origin(serve: Serving) -> AsyncIterator[str]:
    """The address of one that speaks as `serve` does on each connection."""
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextlib.asynccontextmanager
async def heads_first(told: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An origin that says `told` when a head is there, and takes the body if there is one; its address, and what it
    took."""
    took: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            took.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(told)
            took.append(await reader.readexactly(4))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken")
            await writer.drain()

    async with origin(serve) as url:
        yield url, took


async def test_9110_10_1_1_a_body_that_the_origin_refuses_is_not_asked_for(tmp_path: Path) -> None:
    refusal = b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with heads_first(refusal) as (url, took), web_node(tmp_path, url) as node:
        reader, writer = await opened(node)
        writer.write(EXPECTING)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
        writer.close()
    assert len(took) == 1
    assert b"\r\nexpect: 100-continue\r\n" in took[0].lower()


@pytest.mark.parametrize("told", [ASKED_FOR, b""], ids=["it asks for it", "it knows no expectation"])
async def test_9110_10_1_1_a_body_that_the_origin_takes_is_asked_for(tmp_path: Path, told: bytes) -> None:
    async with heads_first(told) as (url, took), web_node(tmp_path, url) as node:
        reader, writer = await opened(node)
        writer.write(EXPECTING)
        assert await reader.readuntil(b"\r\n\r\n") == ASKED_FOR
        assert len(took) == 1
        writer.write(b"said")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert took[1:] == [b"said"]


async def test_9110_10_1_1_an_answer_before_the_body_was_asked_for_ends_the_connection(tmp_path: Path) -> None:
    """Whether the body or another request comes next nobody knows: what follows is not answered."""
    refusal = b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with heads_first(refusal) as (url, _), web_node(tmp_path, url) as node:
        reader, writer = await opened(node)
        writer.write(EXPECTING)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in head.lower()
        writer.write(b"said" + LIVEZ)
        assert await reader.read() == b""
        writer.close()


async def test_9110_15_2_1_no_body_is_asked_for_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    """… be it that it takes longer than an origin is waited for that says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nfirst")
            await asyncio.sleep(1.5 * CONTINUES_WITHIN)
            writer.write(b"later")
            await writer.drain()

    async with origin(serve) as url, web_node(tmp_path, url) as node:
        reader, writer = await opened(node)
        writer.write(EXPECTING)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
        assert await reader.readexactly(10) == b"firstlater"
        writer.close()


async def test_9110_15_2_1_an_origin_that_asks_for_the_body_and_refuses_it_at_once(tmp_path: Path) -> None:
    told = ASKED_FOR + b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    async with heads_first(told) as (url, _), web_node(tmp_path, url) as node:
        reader, writer = await opened(node)
        writer.write(EXPECTING)
        answer = (await reader.readuntil(b"\r\n\r\nno")).removeprefix(ASKED_FOR)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert ASKED_FOR not in answer
        writer.write(b"said" + LIVEZ)
        rest = await reader.read()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_9110_10_1_1_http_1_0_knows_no_expectation(tmp_path: Path) -> None:
    async with heads_first(b"") as (url, took), web_node(tmp_path, url) as node:
        reader, writer = await opened(node)
        writer.write(EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + b"said")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.0 200 ")
        writer.close()
    assert b"expect" not in took[0].lower()


async def opened(node: WebNode) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = node.url.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def test_a_write_is_never_sent_twice(site: WebSite, node: WebNode) -> None:
    async def drop(asked: Asked, wire: Wire) -> None:
        wire.cut()

    site.at("/a", drop)
    assert (await node.get("/a", "PUT", b"said")).status == 502
    assert (await node.get("/a", "POST", b"said")).status == 502
    assert [asked.body for asked in site.asked if asked.body] == [b"said", b"said"]


async def test_a_client_that_leaves_in_the_middle_of_its_body(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(200, {}, b"taken"))
    host, _, port = node.url.removeprefix("http://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    site.at("/b", Document(b"fine"))
    assert (await node.get("/b")).body == b"fine"
    assert site.requests("/a") == []
