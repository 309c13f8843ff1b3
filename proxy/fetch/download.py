"""The innermost ring: bytes from the origin into the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.core.sizes import MIB
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet

from .ports import ChunkWriter, Source

BATCH: Final = 4 * MIB
"""Most bytes held in memory per download while an earlier batch is being written."""


async def download(source: Source, span: Span, writer: ChunkWriter, arrived: Callable[[int], None]) -> None:
    """Fetch `span` and write it. Reading goes on while a batch is being written; the first bytes are written alone, at
    once, so that they reach the readers without waiting for more.

    `arrived` is told of every piece. Raises what `source.read` and `writer.write` raise; what is written stays.
    """
    held: list[bytes] = []
    size = 0
    writing: asyncio.Task[None] | None = None
    async with TaskSet("download") as tasks:
        async for piece in source.read(span):
            held.append(piece)
            size += len(piece)
            arrived(len(piece))
            if writing is not None and (writing.done() or size >= BATCH):
                await writing
                writing = None
            if writing is None:
                writing = tasks.start(writer.write(held), f"write {span}")
                held, size = [], 0
        if writing is not None:
            await writing
        if held:
            await writer.write(held)
