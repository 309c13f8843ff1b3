"""A body on its way whose length nobody knows, or that is short: read by all while it comes, stored when it is whole.

Up to one chunk is held in memory, what is longer in a file without a name. Whoever reads gets the last piece only when
the body was stored: a client that has all of it finds it here with its next request.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from proxy.core.errors import OriginUnreachable, PenstockError, SpoolFull
from proxy.core.sizes import CHUNK, KIB
from proxy.core.spans import Span

_STEP: Final = 256 * KIB


class Spool:
    """One body. `write`, then `finish` or `fail`, by one; `pieces` by many."""

    def __init__(self, announced: int | None, folder: Path, longest: int) -> None:
        """`announced` is the length in bytes, if it is known; what is longer than one chunk goes to `folder`, at most
        `longest` bytes of it."""
        self.size = announced
        self._folder = folder
        self._longest = longest
        self._held = bytearray()
        self._file: int | None = None
        self._last = 0
        self._is_done = False
        self._error: PenstockError | None = None
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.length = 0
        """Bytes that have come."""

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    @property
    def is_whole(self) -> bool:
        """Whether all has come, as far as can be told before the end."""
        return self._is_done or (self.size is not None and self.length == self.size)

    async def write(self, piece: bytes) -> None:
        """Append `piece`. Raises SpoolFull, OriginUnreachable when more comes than was announced, OSError."""
        if self.length + len(piece) > self._longest:
            raise SpoolFull(f"the origin's answer is longer than {self._longest} bytes and does not say so")
        if self.size is not None and self.length + len(piece) > self.size:
            raise OriginUnreachable("the origin sent more than it had announced")
        if self._file is None and self.length + len(piece) > CHUNK:
            self._file = await asyncio.to_thread(self._begun_file)
            self._held.clear()
        if self._file is None:
            self._held += piece
        else:
            await asyncio.to_thread(self._append, piece)
        self._last, self.length = self.length, self.length + len(piece)
        self._wake()

    def finish(self) -> None:
        """All has come, and was stored if it could be."""
        self.size = self.length
        self._is_done = True
        self._wake()

    def fail(self, error: PenstockError) -> None:
        """It breaks off: for all who read."""
        self._error = error
        self._wake()

    async def completed(self) -> int:
        """Wait for the end; the length. Raises what it failed with."""
        while not self._is_done:
            self._raise()
            await asyncio.shield(self._changed)
        return self.length

    async def pieces(self, span: Span | None) -> AsyncIterator[bytes]:
        """The bytes of `span` (None: all, however many), as they come. Raises what it failed with."""
        position = 0 if span is None else span.start
        while span is None or position < span.stop:
            ready = self.length if self._is_done else (self._last if self.is_whole else self.length)
            stop = min(ready, position + _STEP) if span is None else min(ready, position + _STEP, span.stop)
            if position < stop:
                yield await self.part(position, stop)
                position = stop
            elif self._is_done:
                return
            else:
                self._raise()
                await asyncio.shield(self._changed)

    async def part(self, start: int, stop: int) -> bytes:
        """Bytes that have come."""
        if self._file is None:
            return bytes(self._held[start:stop])
        return await asyncio.to_thread(self._read, start, stop)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        if not changed.done():
            changed.set_result(None)

    def _begun_file(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        opened, name = tempfile.mkstemp(dir=self._folder)
        try:
            os.unlink(name)
            _write_all(opened, bytes(self._held), 0)
        except BaseException:
            os.close(
                opened
            )  # a disk that is full would cost a descriptor, and the room, for each answer it cannot hold
            raise
        return opened

    # Methods, because a thread may outlast whoever waited for it: as long as it runs nobody closes the file, whose
    # number would soon be somebody else's.

    def _append(self, piece: bytes) -> None:
        assert self._file is not None, "it is in a file by now"
        _write_all(self._file, piece, self.length)

    def _read(self, start: int, stop: int) -> bytes:
        assert self._file is not None, "it is in a file by now"
        return os.pread(self._file, stop - start, start)


def _write_all(opened: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(opened, view, offset)
        view, offset = view[count:], offset + count
