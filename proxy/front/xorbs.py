"""The bytes of a file as a xorb: headers from memory between stretches of the file, which are sent as ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Final

from proxy.core.errors import PenstockError
from proxy.core.spans import Span
from proxy.fetch.coordinator import Reading
from proxy.fetch.reading import ByteSource, FilePiece, MemoryPiece, Piece

_EMPTY: Final = MemoryPiece(b"", ByteSource.MEMORY)


class XorbReading:
    """A reading (see `coordinator.Reading`) of a stretch of a file, told as `layout` of a xorb."""

    def __init__(self, reading: Reading, layout: Iterable[bytes | Span]) -> None:
        self._reading = reading
        self._layout = tuple(layout)
        self._part = 0
        self._position = next(part.start for part in self._layout if isinstance(part, Span))
        self.cache = reading.cache
        self.verified = reading.verified

    async def pieces(self) -> AsyncIterator[Piece]:
        stretch = _Stretch(self._reading.pieces())
        async with aclosing(stretch):
            while self._part < len(self._layout):
                part = self._layout[self._part]
                if isinstance(part, bytes):
                    yield MemoryPiece(part, ByteSource.MEMORY)
                else:
                    while self._position < part.stop:
                        piece = await stretch.take(part.stop - self._position)
                        yield piece
                        self._position += _length(piece)
                self._part += 1

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        await self._reading.recover(piece, sent, error)
        self._position += sent


class _Stretch:
    """Pieces of a file, cut to measure. What is left of one is given before the next is asked for."""

    def __init__(self, pieces: AsyncIterator[Piece]) -> None:
        self._pieces = pieces
        self._left: Piece = _EMPTY

    async def take(self, most: int) -> Piece:
        """The next bytes, at most `most` of them."""
        while not _length(self._left):
            left = await anext(self._pieces, None)
            if left is None:
                raise PenstockError("the file ended inside its xorb")
            self._left = left
        taken, self._left = _cut(self._left, most)
        return taken

    async def aclose(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


def _length(piece: Piece) -> int:
    return piece.length if isinstance(piece, FilePiece) else len(piece.content)


def _cut(piece: Piece, at: int) -> tuple[Piece, Piece]:
    """`piece` up to `at` of its bytes, and the rest."""
    at = min(at, _length(piece))
    if isinstance(piece, MemoryPiece):
        return MemoryPiece(piece.content[:at], piece.source), MemoryPiece(piece.content[at:], piece.source)
    fd, offset, length, disk, source = piece.fd, piece.offset, piece.length, piece.disk, piece.source
    return FilePiece(fd, offset, at, disk, source), FilePiece(fd, offset + at, length - at, disk, source)
