"""The loop that asks for heads, against servers that answer them well and badly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from bench.peers.asking import Many, Unexpected
from bench.peers.heads import again_and_again

ASKED = b"HEAD / HTTP/1.1\r\nHost: m\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n"


@contextlib.asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[tuple[str, int]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if not pieces:
                    break
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()


async def asked(*pieces: bytes) -> Many:
    async with answering(*pieces) as address:
        return await asyncio.to_thread(again_and_again, address, ASKED, connections=4, seconds=0.1)


async def test_answers_are_counted_however_they_come() -> None:
    for pieces in ((GOOD,), (GOOD[:10], GOOD[10:-1], GOOD[-1:])):
        done = await asked(*pieces)
        assert done.requests >= 4
        assert done.seconds >= 0.1


@pytest.mark.parametrize("pieces", [(GOOD.replace(b"200", b"404"),), ()])
async def test_an_answer_that_is_an_error_or_none_is_no_figure(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(Unexpected):
        await asked(*pieces)
