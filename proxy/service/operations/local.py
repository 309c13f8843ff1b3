"""Bytes of a file that are at hand on this machine, in the place of an origin."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.core.errors import SourceChanged
from proxy.core.sizes import MIB
from proxy.core.spans import Span

STEP: Final = MIB


@dataclass(frozen=True, slots=True)
class LocalPart:
    """Bytes `[0, size)` of a file of the Hub that begin at `offset` of the file `path`."""

    path: Path
    offset: int
    size: int


class LocalSource:
    """Implements the port `Source` over parts that lie one after the other; `counted` is told of every byte read."""

    def __init__(self, parts: list[LocalPart], counted: Callable[[int], None]) -> None:
        self._parts = parts
        self._counted = counted

    async def read(self, span: Span, *, can_wait: bool = False) -> AsyncGenerator[bytes, None]:
        """Raises SourceChanged when a part is gone, or shorter than it was said to be."""
        begin = 0
        for part in self._parts:
            mine = Span(begin, begin + part.size).clip(span) if span.overlaps(Span(begin, begin + part.size)) else None
            if mine:
                for piece in mine.split(STEP):
                    content = await asyncio.to_thread(_read, part, piece.start - begin, len(piece))
                    self._counted(len(content))
                    yield content
            begin += part.size


def _read(part: LocalPart, offset: int, length: int) -> bytes:
    try:
        with part.path.open("rb") as file:
            content = os.pread(file.fileno(), length, part.offset + offset)
    except OSError as error:
        raise SourceChanged(f"{part.path} cannot be read: {error.strerror}") from None
    if len(content) != length:
        raise SourceChanged(f"{part.path} is shorter than it was")
    return content
