"""Proving slices of blobs of which this node has not the whole, some time after they were read.

    unproven     a reader was given bytes that nobody has proven yet
    due          after a while: by then a client who reads the whole may have proven it
    proven       every slice that is here whole was compared with the manifest (`sealer`): right ones are verified,
                 wrong ones are gone, and whoever had given them is named

A restart forgets what was due; the next reader of what is unproven brings it up again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.bounded import BoundedDict
from proxy.core.errors import AskAnother, FoundWrong, NoDisk, PenstockError
from proxy.core.manifest import Found, Manifest, slice_count
from proxy.core.tasks import TaskSet

from .fleet import OncePerFleet
from .flights import Flights
from .givers import ORIGIN
from .manifests import KnownManifests, slice_span
from .ports import Blob, BlobStore
from .sealer import Sealer

log: Final = logging.getLogger(__name__)

WAITING: Final = 1024
"""Blobs that wait to be proven; more are left until they are read again."""
TRIES: Final = 8
LONGEST: Final = 60.0
"""Seconds between two tries, at most: each waits twice as long as the one before."""
BELIEVED: Final = 2
"""So often a slice that came from the origin alone may be found wrong: then the manifest is not believed."""
DISPUTES: Final = 1024
"""Slices of which is remembered how often they were wrong."""


class Prover:
    """See the head of the file."""

    def __init__(
        self,
        store: BlobStore,
        ring: OncePerFleet,
        manifests: KnownManifests,
        sealer: Sealer,
        tasks: TaskSet,
        flights: Flights,
    ) -> None:
        self._store = store
        self._ring = ring
        self._manifests = manifests
        self._sealer = sealer
        self._tasks = tasks
        self._flights = flights
        self.waiting: set[BlobKey] = set()
        """Blobs that are to be proven."""
        self._disputes: BoundedDict[tuple[BlobKey, int], int] = BoundedDict(entries=DISPUTES)
        self._turn = asyncio.Semaphore(1)

    def unproven(self, blob: Blob) -> None:
        """A reader was given bytes of `blob` that are not proven."""
        record = blob.record
        if record.digest is None or record.key in self.waiting or len(self.waiting) >= WAITING:
            return
        if self._tasks.is_closing:
            return
        self.waiting.add(record.key)
        task = self._tasks.start(self._see_to(record), f"prove {record.key}")
        task.add_done_callback(lambda _: self.waiting.discard(record.key))

    async def _see_to(self, record: BlobRecord) -> None:
        for pause in _pauses(self._ring.prove_after):
            await asyncio.sleep(pause)
            try:
                async with self._turn:
                    if await self._is_seen_to(record):
                        return
            except NoDisk:
                return  # it has gone meanwhile
            except AskAnother as later:
                log.debug("not proven yet", extra={"blob": str(record.key), "why": str(later)})
            except FoundWrong:
                log.error("a blob is wrong at the origin", extra={"blob": str(record.key)})
                self._flights.mistrust.mismatched(record.key)
                await self._store.drop(record.key, "digest")
                return
            except PenstockError as error:
                log.warning("a blob could not be proven", extra={"blob": str(record.key), "why": str(error)})

    async def _is_seen_to(self, record: BlobRecord) -> bool:
        """Prove what is here; whether no more is to be done. Raises AskAnother, FoundWrong, StoreError
        (NoDisk: there is nothing of it)."""
        if self._flights.is_under_way(record.key):
            return False
        async with self._store.open_kept(record) as blob:
            indexes = _unproven(blob)
            question = self._ring.question(record.key)
            if not indexes or question is None:
                return True
            manifest = await self._sealer.wanted(question)
            return all([await self._prove(blob, index, manifest) for index in indexes])

    async def _prove(self, blob: Blob, index: int, manifest: Manifest) -> bool:
        """Whether the slice is done with."""
        key = blob.record.key
        if (self._disputes.get((key, index)) or 0) >= BELIEVED:
            return True
        match await blob.prove(slice_span(blob.record, index), manifest.slices[index]):
            case Found.RIGHT:
                self._ring.givers.proven((key, index))
                return True
            case Found.WRONG:
                self._found_wrong(key, index)
                return True
            case Found.INCOMPLETE:
                return False

    def _found_wrong(self, key: BlobKey, index: int) -> None:
        givers = self._ring.givers.distrust((key, index))
        self._ring.givers.blame((key, index), givers)
        if givers != {ORIGIN}:
            return
        times = (self._disputes.get((key, index)) or 0) + 1
        self._disputes.put((key, index), times)
        if times == BELIEVED:
            # The origin gives the same again, and the whole that the manifest was made of was right: one of them lies.
            log.error("a manifest is not believed", extra={"blob": str(key), "slice": index})
            self._manifests.forget(key)


def _unproven(blob: Blob) -> list[int]:
    """The slices that are here whole and not proven."""
    spans = [(index, slice_span(blob.record, index)) for index in range(slice_count(blob.record.size))]
    return [index for index, span in spans if not blob.is_proven(span) and not blob.missing(span)]


def _pauses(first: float) -> Iterator[float]:
    pause = first
    for _ in range(TRIES):
        yield min(LONGEST, pause)
        pause *= 2
