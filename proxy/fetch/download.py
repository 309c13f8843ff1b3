"""The innermost ring: bytes from the origin into the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

from proxy.core.errors import PenstockError
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet

from .ports import ChunkWriter, Source

PIECES: Final = 32
"""Most pieces (of at most 256 KiB, aiohttp's read buffer) held in memory per download while others are written."""


async def download(source: Source, span: Span, writer: ChunkWriter, arrived: Callable[[int], None]) -> None:
    """Fetch `span` and write it. Reading goes on while a batch is written, and what has arrived never waits for more:
    the first bytes are written alone, at once, later ones in batches as large as the disk is slow.

    `arrived` is told of every piece. Raises what `source.read` and `writer.write` raise; what is written stays.
    """
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=PIECES)

    async def receive() -> PenstockError | None:
        try:
            async with aclosing(source.read(span)) as arriving:
                async for piece in arriving:
                    arrived(len(piece))
                    await pieces.put(piece)
        except PenstockError as error:
            return error
        finally:
            if not pieces.full():
                pieces.put_nowait(None)  # the end, should the writer be waiting; if the queue is full it is not
        return None

    async with TaskSet("download") as tasks:
        receiving = tasks.start(receive(), f"receive {span}")
        while batch := await _batch(pieces, receiving):
            await writer.write(batch)
        failure = await receiving
    if failure is not None:
        raise failure


async def _batch(pieces: asyncio.Queue[bytes | None], receiving: asyncio.Task[Any]) -> list[bytes]:
    """All that has arrived by now, at least one piece; empty at the end."""
    if receiving.done() and pieces.empty():
        return []
    batch = []
    piece = await pieces.get()
    while piece is not None:
        batch.append(piece)
        if pieces.empty():
            break
        piece = pieces.get_nowait()
    return batch
