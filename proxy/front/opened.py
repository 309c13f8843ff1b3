"""A span that is ready to be sent: what goes wrong before its first piece is still an answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Self

from proxy.fetch.coordinator import CacheOutcome, Readable, Reading
from proxy.fetch.reading import ByteSource, MemoryPiece, Piece

from .cache_status import combined


class ShortBody(Exception):
    """A reading ended before, or ran past, the length that was promised: a broken promise of the rooms below."""


@dataclass(frozen=True, slots=True)
class Opened:
    """`first` can be had at once, `pieces` are all of them, `first` included."""

    first: Piece
    pieces: AsyncIterator[Piece]
    cache: CacheOutcome
    verified: bool
    reading: Reading | None
    """What can go on when a disk fails; None for what is in memory."""

    @classmethod
    def in_memory(cls, content: bytes) -> Self:
        piece = MemoryPiece(content, ByteSource.MEMORY)
        return cls(piece, _behind(piece, _none()), CacheOutcome.HIT, verified=True, reading=None)


@contextlib.asynccontextmanager
async def opened(located: Readable, reading: Reading) -> AsyncIterator[Opened]:
    """As `begun`; the outcome says also how the file was located."""
    async with begun(reading) as ready:
        yield replace(ready, cache=combined(located.cache, reading.cache))


@contextlib.asynccontextmanager
async def begun(reading: Reading) -> AsyncIterator[Opened]:
    """The pieces of `reading` once the first is there. Raises what getting it raises, and ShortBody without one."""
    pieces = reading.pieces()
    try:
        first = await anext(pieces, None)
        if first is None:
            raise ShortBody("there is no piece of it")
        yield Opened(first, _behind(first, pieces), reading.cache, reading.verified, reading)
    finally:
        await close(pieces)


async def close(pieces: AsyncIterator[Piece]) -> None:
    """End an iteration now; generators only have something to end."""
    end = getattr(pieces, "aclose", None)
    if end is not None:
        await end()


async def _none() -> AsyncIterator[Piece]:
    return
    yield  # makes it a generator


async def _behind(first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """`first` and then `rest`. The piece before is given up only when the next is asked for."""
    yield first
    async for piece in rest:
        yield piece
