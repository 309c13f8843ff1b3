"""The manifests this node knows: what each slice of a blob has to hash to."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.bounded import BoundedDict
from proxy.core.errors import NoDisk
from proxy.core.manifest import Manifest, slice_count
from proxy.core.sizes import SLICE
from proxy.core.spans import Span, whole

from .ports import Blob, BlobStore, Fleet

KNOWN: Final = 256
"""Manifests in memory (a slice is some 100 bytes); all others are read from the disk again."""


def slice_span(record: BlobRecord, index: int) -> Span:
    """Where the slice lies."""
    return Span(index * SLICE, (index + 1) * SLICE).clip(whole(record.size))


async def slice_digests(blob: Blob) -> tuple[str, ...]:
    """The sha256 of every slice of a blob that is here whole. Raises DiskFailed, NoDisk."""
    indexes = range(slice_count(blob.record.size))
    return tuple([await blob.digest(slice_span(blob.record, index)) for index in indexes])


class KnownManifests:
    """See the head of the file. On disk a manifest lies beside its blob, and goes when that goes."""

    def __init__(self, store: BlobStore, fleet: Fleet) -> None:
        self._store = store
        self._fleet = fleet
        self._known: BoundedDict[BlobKey, Manifest] = BoundedDict(entries=KNOWN)

    async def here(self, record: BlobRecord) -> Manifest | None:
        """What is known, or can be found out from our own disks: it is kept, or the blob is here whole and proven.

        Raises StoreError."""
        known = self._known.get(record.key)
        if known is not None and known.size == record.size:
            return known
        try:
            async with self._store.open_kept(record) as blob:
                return await self.of(blob)
        except NoDisk:
            return None

    async def of(self, blob: Blob) -> Manifest | None:
        """As `here`, of an open blob."""
        kept = await blob.manifest()
        manifest = None if kept is None else self._fleet.unstamped(kept, blob.record)
        if manifest is None and blob.sealed:
            manifest = Manifest(blob.record.key, blob.record.size, await slice_digests(blob))
            await blob.keep_manifest(self._fleet.stamped(manifest))
        if manifest is not None:
            self._known.put(blob.record.key, manifest)
        return manifest

    async def keep(self, record: BlobRecord, manifest: Manifest) -> None:
        """What another node has found out, or we have, without having the whole. Raises StoreError."""
        self._known.put(record.key, manifest)
        with suppress(NoDisk):
            async with self._store.open_kept(record) as blob:
                await blob.keep_manifest(self._fleet.stamped(manifest))

    def forget(self, key: BlobKey) -> None:
        """Not believed any more, in this life of the node."""
        self._known.discard(key)
