"""Connections of our own for transfers: when they are used again, and what an answer on them may look like."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp.resolver import DefaultResolver
from yarl import URL

from proxy.core.errors import OriginLied, OriginUnreachable
from proxy.origin.incoming import TransferCut
from proxy.origin.wires import Wires
from tests.origin.liar import Asked, Liar, Said, Script, answer, chunked, until

BODY = b"some bytes" * 50


@contextlib.asynccontextmanager
async def wires(*, silence: float = 5.0) -> AsyncIterator[Wires]:
    with contextlib.closing(Wires(DefaultResolver(), connecting=1.0, silence=silence)) as opened:
        yield opened


async def got(opened: Wires, server: Liar, path: str = "/x", *, guarded: bool = False) -> bytes:
    async with await opened.ask(URL(server.url + path, encoded=True), (), guarded=guarded) as incoming:
        return b"".join([piece async for piece in incoming.pieces()])


def good(asked: Asked) -> Said:
    return answer("200 OK", (), BODY)


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    async with Liar.open(good) as server, wires() as opened:
        assert [await got(opened, server) for _ in range(3)] == [BODY] * 3
        assert server.connections == 1


@pytest.mark.parametrize(
    "script",
    [
        lambda _: answer("200 OK", (("Connection", "x, Close"),), BODY),
        lambda _: Said(b"HTTP/1.0 200 OK\r\nContent-Length: 500\r\n\r\n" + BODY),
        lambda _: Said(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + BODY + b"HTTP/1.1 200 OK\r\n\r\n"),
        lambda _: answer("200 OK", (("Transfer-Encoding", "chunked"),), chunked(BODY)),
    ],
    ids=["it says close", "HTTP/1.0", "more than it announced", "chunks"],
)
async def test_a_connection_is_not_used_again_after_any_other(script: Script) -> None:
    async with Liar.open(script) as server, wires() as opened:
        assert [await got(opened, server) for _ in range(2)] == [BODY] * 2
        assert server.connections == 2


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async with Liar.open(lambda asked: Said(good(asked).content, "close")) as server, wires() as opened:
        await got(opened, server)
        await until(lambda: server.open_connections == 0)
        assert await got(opened, server) == BODY
        assert server.connections == 2


async def test_a_connection_made_without_the_address_check_is_not_used_with_it() -> None:
    async with Liar.open(good) as server, wires() as opened:
        await got(opened, server)
        with pytest.raises(OriginLied, match="not a public address"):
            await got(opened, server, guarded=True)
        assert server.connections == 1


async def test_leaving_before_the_end_closes_the_connection() -> None:
    async with Liar.open(lambda _: Said(b"HTTP/1.1 200 OK\r\nContent-Length: 501\r\n\r\n" + BODY)) as server:
        async with wires() as opened, await opened.ask(URL(server.url), (), guarded=False) as incoming:
            assert await anext(incoming.pieces()) == BODY
        await until(lambda: server.open_connections == 0)


async def test_silence_in_a_body_is_a_cut() -> None:
    script = Said(b"HTTP/1.1 200 OK\r\nContent-Length: 501\r\n\r\n" + BODY, "silence")
    async with Liar.open(lambda _: script) as server, wires(silence=0.1) as opened:
        with pytest.raises(TransferCut):
            await got(opened, server)


async def test_silence_before_an_answer_is_a_timeout() -> None:
    async with Liar.open(lambda _: Said(b"", "silence")) as server, wires(silence=0.1) as opened:
        with pytest.raises(TimeoutError):
            await got(opened, server)
        await until(lambda: server.open_connections == 0)


async def test_a_port_that_nobody_listens_on_is_an_origin_out_of_reach() -> None:
    async with wires() as opened:
        with pytest.raises(OriginUnreachable, match="cannot connect"):
            async with await opened.ask(URL("http://127.0.0.1:1/"), (), guarded=False):
                pass


async def test_a_field_that_would_break_out_of_its_line_is_not_sent() -> None:
    async with Liar.open(good) as server, wires() as opened:
        with pytest.raises(OriginLied):
            await opened.ask(URL(server.url), (("If-Range", 'x"\r\nHost: other'),), guarded=False)
        assert server.connections == 0


async def test_what_is_kept_is_closed_at_the_end() -> None:
    async with Liar.open(good) as server:
        async with wires() as opened:
            await got(opened, server)
        await until(lambda: server.open_connections == 0)
