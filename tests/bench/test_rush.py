"""The loop that asks again and again, against servers that answer well and badly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator

import pytest

from bench.rush import Refused, Rush, again_and_again

ASKED = b"HEAD / HTTP/1.1\r\nHost: m\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n"
BODY = bytes(700)


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


async def asked(*pieces: bytes, size: int = 0) -> Rush:
    async with answering(*pieces) as address:
        return await asyncio.to_thread(again_and_again, address, ASKED, size=size, connections=4, seconds=0.1)


@pytest.mark.parametrize("pieces", [(GOOD,), (GOOD[:10], GOOD[10:-1], GOOD[-1:])])
async def test_heads_are_counted_however_they_come(pieces: tuple[bytes, ...]) -> None:
    done = await asked(*pieces)
    assert done.requests >= 4
    assert done.seconds >= 0.1


@pytest.mark.parametrize("pieces", [(GOOD + BODY,), (GOOD[:-2], GOOD[-2:] + BODY[:1], BODY[1:600], BODY[600:])])
async def test_bodies_are_counted_however_they_come(pieces: tuple[bytes, ...]) -> None:
    done = await asked(*pieces, size=len(BODY))
    assert done.requests >= 4
    assert done.requests * len(BODY) <= done.received <= (done.requests + 4) * len(BODY)


@pytest.mark.parametrize("pieces", [(GOOD.replace(b"200", b"404"),), ()])
async def test_an_answer_that_is_an_error_or_none_is_no_figure(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused):
        await asked(*pieces)


async def test_the_command_asks_for_a_path_and_tells_what_that_took() -> None:
    async with answering(GOOD + BODY) as (host, port):
        command = [sys.executable, "-m", "bench.rush", f"{host}:{port}", "/x", "--size", "700", "--seconds", "0.1"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
    told = json.loads(said)
    assert told["requests"] > 0
    assert told["cpu"] > 0
