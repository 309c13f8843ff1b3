"""When a whole is wrong that was read through peers: which slice it was, what can be kept, and who gave it.

A node that has the whole proves it as any other, by the digest of the whole. When that fails it is dropped, and nobody
who read it gets a clean end (see `flight`). Then:

    1. slices that peers gave come from the origin the next time      (so that the next reader fares better for sure)
    2. peers that have the blob proven tell the digest of each slice
    3. slices that are right are copied out of what was dropped
    4. once the blob is proven, the slices that differ name those that gave them

A whole that came from the origin alone, and is wrong, the sealer hears of when it asks. Nobody is accused before 4:
what a peer tells in 2 may be wrong too, and is checked like everything else.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict
from proxy.core.errors import PenstockError
from proxy.core.manifest import slice_count
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span

from .fleet import OncePerFleet
from .givers import ORIGIN
from .manifests import slice_digests, slice_span
from .ports import Blob, BlobStore
from .sealer import Sealer

log: Final = logging.getLogger(__name__)

SUSPECTS: Final = 256
"""Blobs of which it is not known yet who gave what was wrong."""


@dataclass(frozen=True, slots=True)
class _Suspect:
    """The slices of a blob that was wrong: digest of each, and who gave some of it."""

    digests: tuple[str, ...]
    givers: tuple[frozenset[str], ...]


class Mender:
    """See the head of the file."""

    def __init__(self, store: BlobStore, ring: OncePerFleet, sealer: Sealer) -> None:
        self._store = store
        self._ring = ring
        self._sealer = sealer
        self._suspects: BoundedDict[BlobKey, _Suspect] = BoundedDict(entries=SUSPECTS)

    async def mend(self, blob: Blob) -> None:
        """`blob` was whole and wrong, and is dropped; it is still open. Keeps of it what is right."""
        key = blob.record.key
        givers = tuple(self._ring.givers.distrust((key, index)) for index in range(slice_count(blob.record.size)))
        if all(one == {ORIGIN} for one in givers):
            self._sealer.doubt(key)
        try:
            digests = await slice_digests(blob)
            self._suspects.put(key, _Suspect(digests, givers))
            question = self._ring.question(key)
            manifest = None if question is None else await self._sealer.of_peers(question)
            if manifest is not None:
                await self._salvage(blob, frozenset(range(len(digests))) - manifest.wrong_in(digests))
        except PenstockError as error:
            log.warning("nothing of a wrong blob could be kept", extra={"blob": str(key), "why": str(error)})

    async def proven(self, blob: Blob) -> None:
        """`blob` is right. If it was wrong before, it is known now which slices were."""
        key = blob.record.key
        for index in range(slice_count(blob.record.size)):
            self._ring.givers.trust((key, index))
        suspect = self._suspects.get(key)
        if suspect is None:
            return
        self._suspects.discard(key)
        try:
            right = await slice_digests(blob)
        except PenstockError:
            return
        for index, (was, now) in enumerate(zip(suspect.digests, right, strict=True)):
            if was != now:
                self._ring.givers.blame((key, index), suspect.givers[index])

    async def _salvage(self, blob: Blob, good: frozenset[int]) -> None:
        """Copy the slices in `good` out of the dropped blob into its successor."""
        async with self._store.open_blob(blob.record) as fresh:
            for index in sorted(good):
                for span in slice_span(blob.record, index).split(8 * CHUNK):
                    await _copy(blob, fresh, span)
        log.warning("kept of a wrong blob", extra={"blob": str(blob.record.key), "slices": len(good)})


async def _copy(old: Blob, fresh: Blob, span: Span) -> None:
    """What somebody is filling already, or has filled, is left to him."""
    claim = fresh.try_claim(span) if fresh.missing(span) == (span,) else None
    if claim is None:
        return
    async with claim as writer:
        for chunk in span.split(CHUNK):
            await writer.write([await old.content(chunk)])
