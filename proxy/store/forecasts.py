"""Forecasts: what the answers that a worker reads are going to bring, told to the others as locks that die with it.

    chunks    shared, from where an answer stands to its end: "this is on its way, wait a moment before you ask for it"
    readers   shared, while a worker has readers of the blob: "do not ask for all of the rest at once"

A forecast is no claim: who does not want to wait may fetch what is forecast. A blob is 36 bits of its key, its chunks
the bytes behind that offset of an empty file, as in `leads`: nothing is ever written, and two blobs have one place by
chance only, which costs a wait.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span

from . import rangelock

log = logging.getLogger(__name__)

_CHUNKS: Final = 26
"""Bits of a chunk's number: blobs of 64 TiB."""
_READERS: Final = range((1 << _CHUNKS) - 1, 1 << _CHUNKS)
_BLOB: Final = 9
"""Hexadecimal digits of the key that stand for the blob."""


class Forecast:
    """Of one blob, as one worker tells it and sees those of the others (`fetch.web.ports.Forecast`)."""

    def __init__(self, fd: int, key: BlobKey) -> None:
        self._fd = fd
        self._base = int(key.hex[:_BLOB], 16) << _CHUNKS

    def say(self, span: Span) -> None:
        """From now on `span` is on its way."""
        self._lock(span.units(CHUNK))

    def unsay(self, span: Span) -> None:
        """It has come, or does not come. What another answer of this worker brings of it is forecast no more either."""
        self._unlock(span.units(CHUNK))

    def front(self, offset: int) -> int | None:
        """Where the answer of another worker stands that is to bring the byte at `offset`; None when none is."""
        return self._others(range(offset // CHUNK, offset // CHUNK + 1))

    def ahead(self, span: Span) -> int:
        """Where in `span` begins what another worker's answer is to bring; its end when there is none, or it begins
        before."""
        found = self._others(span.units(CHUNK))
        return span.stop if found is None or found <= span.start else found

    def read(self, *, here: bool) -> None:
        """Whether this worker has readers."""
        (self._lock if here else self._unlock)(_READERS)

    @property
    def is_read_elsewhere(self) -> bool:
        """Whether another worker has readers."""
        return self._others(_READERS) is not None

    def _lock(self, chunks: range) -> None:
        assert chunks, "a lock of no byte is one of all to the kernel"
        try:
            rangelock.try_lock(self._fd, self._base + chunks.start, len(chunks), shared=True)
        except OSError as error:
            log.warning("no lock is to be had", extra={"why": error.strerror})

    def _unlock(self, chunks: range) -> None:
        if not chunks:
            return
        # To the kernel the rest of a lock is a new one, for which it may have no room. Who waits for what does not come
        # any more asks after a while; the body that is being read here must not end for that.
        try:
            rangelock.unlock(self._fd, self._base + chunks.start, len(chunks))
        except OSError as error:
            log.warning("a lock is not to be given back", extra={"why": error.strerror})

    def _others(self, chunks: range) -> int | None:
        try:
            found = rangelock.start_of_others(self._fd, self._base + chunks.start, len(chunks))
        except OSError:
            return None  # who cannot look asks
        return None if found is None else max(0, found - self._base) * CHUNK


class Forecasts:
    """Those of one worker (`fetch.web.ports.Forecasts`)."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Forecasts]:
        """On the file that all workers of the node open. Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield cls(fd)
        finally:
            os.close(fd)

    def of(self, key: BlobKey) -> Forecast:
        """That of one blob."""
        return Forecast(self._fd, key)
