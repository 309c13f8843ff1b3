"""Read-ahead: who reads a blob range after range gets the next ones fetched before asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict
from proxy.core.sizes import MIB
from proxy.core.spans import Span

_FIRST: Final = 8 * MIB


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of ranges: where the last one ended, and how far ahead of it was asked for."""

    stop: int
    window: int


class ReadAhead:
    """Remembers where ranges ended; a range that begins there doubles the window, up to `limit` bytes.

    A single range costs its own chunks and no more (a tail read of a large file must not pull the file).
    """

    def __init__(self, limit: int, *, blobs: int = 10_000) -> None:
        self._limit = limit
        self._runs: BoundedDict[BlobKey, _Run] = BoundedDict(entries=blobs)

    def after(self, key: BlobKey, span: Span, size: int) -> Span:
        """What to fetch beyond `span`, empty for the first range of a run. Notes `span` as the latest."""
        run = self._runs.get(key)
        follows = run is not None and run.stop == span.start and span.start > 0
        window = min(self._limit, 2 * run.window or _FIRST) if run is not None and follows else 0
        self._runs.put(key, _Run(span.stop, window))
        return Span(span.stop, min(size, span.stop + window))
