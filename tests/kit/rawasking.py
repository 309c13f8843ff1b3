"""Bytes on a raw connection, and the statuses of all that is answered before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import re

PATIENCE = 20.0
"""Seconds after which a connection that does not end has failed the test."""


async def statuses_of(host: str, port: int, raw: bytes, *, pieces: int = 1) -> tuple[int, ...]:
    """Send `raw` in so many pieces. Raises TimeoutError when the connection does not end."""
    step = max(1, len(raw) // pieces)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(raw), step):
                writer.write(raw[start : start + step])
                await writer.drain()
                await asyncio.sleep(0)
        return await statuses_heard(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def statuses_heard(reader: asyncio.StreamReader) -> tuple[int, ...]:
    """What is answered before the connection ends, however it does."""
    answer = b""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                answer += piece
    return tuple(int(status) for status in re.findall(rb"HTTP/[0-9.]+ ([0-9]{3}) ", answer))
