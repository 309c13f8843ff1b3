"""The ring around the download: each chunk is fetched once on this machine, whichever worker needs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from proxy.core.errors import BlobDropped, DigestMismatch, DiskFailed, NoDisk, OriginBusy, PenstockError
from proxy.core.sizes import SLICE
from proxy.core.spans import Span, total

from .download import download
from .ports import Blob, FillObserver, Source

log = logging.getLogger(__name__)

_DISK_TRIES: Final = 3
_POLL_FIRST: Final = 0.001
_POLL_LAST: Final = 0.02


class Filler(Protocol):
    """The one verb of the rings."""

    async def fill(self, blob: Blob, span: Span, source: Source) -> None:
        """Return when all of `span` (inside one slice) is present. Raises what fetching and storing raise."""
        ...


class OncePerNode:
    """Fills what is missing of a span, chunk claims in hand; what another worker has claimed is watched instead.

    The claim is a lock of the kernel: when its holder dies it is free, and we go on where the map ends.
    """

    def __init__(self, observer: FillObserver) -> None:
        self._observer = observer

    async def fill(self, blob: Blob, span: Span, source: Source) -> None:
        assert len(span.units(SLICE)) == 1, f"a fill is not empty and stays inside one slice: {span}"
        failures = 0
        while gaps := blob.missing(span):
            try:
                await self._fill_or_watch(blob, gaps, source)
            except DiskFailed as error:
                # The store has taken the disk out of the ranking: the slice has another home now.
                failures += 1
                log.warning("disk failed under a fill", extra={"span": str(span), "why": str(error)})
                if failures == _DISK_TRIES:
                    raise

    async def _fill_or_watch(self, blob: Blob, gaps: tuple[Span, ...], source: Source) -> None:
        for gap in gaps:
            claim = blob.try_claim(gap)
            if claim is None:
                continue
            async with claim as writer:
                # Look again now that we are inside:
                #   1. A misses   2. B misses   3. A claims, fills, leaves   4. B claims
                # without this, B would download what A has just stored.
                if blob.missing(gap) == (gap,):
                    with counted(self._observer):
                        await download(source, gap, writer, self._observer.fill_bytes)
            return
        await _watch(blob, gaps)


async def _watch(blob: Blob, gaps: tuple[Span, ...]) -> None:
    """Wait until another worker's fill of `gaps` has come further, or a while has passed (its claim may be free)."""
    before = total(gaps)
    pause = _POLL_FIRST
    for _ in range(8):
        await asyncio.sleep(pause)
        if sum(len(gap) for whole in gaps for gap in blob.missing(whole)) != before:
            return
        pause = min(2 * pause, _POLL_LAST)


@contextmanager
def counted(observer: FillObserver) -> Iterator[None]:
    """Count one download, by how it ended."""
    observer.fill_started()
    result = "aborted"
    try:
        yield
        result = "ok"
    except PenstockError as error:
        result = result_of(error)
        raise
    finally:
        observer.fill_ended(result)


def result_of(error: PenstockError) -> str:
    """The label `result` of a download that ended with `error`."""
    match error:
        case DigestMismatch():
            return "checksum"
        case DiskFailed() | NoDisk():
            return "disk"
        case BlobDropped():
            return "aborted"
        case OriginBusy():
            return "put_off"
        case _:
            return "upstream_error"
