"""A xorb is sent as its layout says, however the file's pieces fall, and goes on where a disk failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from proxy.core.errors import PenstockError
from proxy.core.spans import Span
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.reading import ByteSource, FilePiece, MemoryPiece, Piece
from proxy.front.xorbs import XorbReading

FILE = bytes(range(100))
LAYOUT: Sequence[bytes | Span] = (b"[0]", Span(10, 40), b"[1]", Span(40, 70), b"[2]", Span(70, 75))
WHOLE = b"[0]" + FILE[10:40] + b"[1]" + FILE[40:70] + b"[2]" + FILE[70:75]


class Halting:
    """Gives pieces of so many bytes from where it is, and can be told to go on elsewhere."""

    cache, verified = CacheOutcome.HIT, True

    def __init__(self, step: int, *, stop: int = 75, on_disk: bool = True) -> None:
        self._step, self._stop, self._on_disk = step, stop, on_disk
        self.position = 10
        self.closed = 0

    async def pieces(self) -> AsyncIterator[Piece]:
        try:
            while self.position < self._stop:
                end = min(self.position + self._step, self._stop)
                if self._on_disk:
                    yield FilePiece(7, self.position, end - self.position, "disk0", ByteSource.DISK)
                else:
                    yield MemoryPiece(FILE[self.position : end], ByteSource.RELAY)
                self.position = end
        finally:
            self.closed += 1

    async def recover(self, piece: FilePiece, sent: int, error: OSError) -> None:
        self.position = piece.offset + sent


def content(piece: Piece) -> bytes:
    if isinstance(piece, MemoryPiece):
        return piece.content
    assert (piece.fd, piece.disk) == (7, "disk0")
    return FILE[piece.offset : piece.offset + piece.length]


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("step", [1, 7, 30, 31, 1000])
async def test_pieces_of_any_length_make_the_same_xorb(step: int, on_disk: bool) -> None:
    reading = Halting(step, on_disk=on_disk)
    assert b"".join([content(piece) async for piece in XorbReading(reading, LAYOUT).pieces()]) == WHOLE
    assert reading.closed == 1


@pytest.mark.parametrize("step", [7, 1000])
@pytest.mark.parametrize("at", range(65))
async def test_a_xorb_goes_on_at_the_byte_the_disk_did_not_give(step: int, at: int) -> None:
    reading = XorbReading(Halting(step), LAYOUT)
    sent, given, failed = b"", 0, False
    while not failed or len(sent) < len(WHOLE):
        pieces = reading.pieces()
        async for piece in pieces:
            if not failed and isinstance(piece, FilePiece) and given <= at < given + piece.length:
                failed = True
                sent += content(piece)[: at - given]
                await pieces.aclose()  # type: ignore[attr-defined]
                await reading.recover(piece, at - given, OSError("bad sector"))
                break
            sent += content(piece)
            given += piece.length if isinstance(piece, FilePiece) else 0
    assert sent == WHOLE


async def test_a_file_that_ends_inside_its_xorb_does_not_end_cleanly() -> None:
    with pytest.raises(PenstockError):
        async for _ in XorbReading(Halting(10, stop=50), LAYOUT).pieces():
            pass


async def test_who_leaves_early_closes_the_reading_of_the_file() -> None:
    reading = Halting(10)
    pieces = XorbReading(reading, LAYOUT[1:]).pieces()
    await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]
    assert reading.closed == 1
