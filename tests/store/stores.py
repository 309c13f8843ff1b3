"""Words for tests of the store: blobs of known content, a store over folders, fills and reads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from proxy.config.schema import Disk, StoreSection
from proxy.core.blob import BlobKey, BlobRecord, Digest, DigestKind
from proxy.core.clock import SystemClock
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span
from proxy.store.blobfile import OpenBlob
from proxy.store.blobstore import BlobStore


def content_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def record_of(content: bytes, *, validator: str | None = None) -> BlobRecord:
    digest = hashlib.sha256(content).hexdigest()
    return BlobRecord(BlobKey.sha256(digest), len(content), validator or digest, Digest(DigestKind.SHA256, digest))


def section(*folders: Path, size: int | None = 256 * MIB, **more: Any) -> StoreSection:
    disks = tuple(Disk(path=folder, size=size) for folder in folders)
    return StoreSection(disks=disks, free_floor=0, **more)


def open_store(config: StoreSection, **more: Any) -> AbstractAsyncContextManager[BlobStore]:
    return BlobStore.open(config, **{"clock": SystemClock(), "node": "n", "worker": 0, **more})


async def fill(blob: OpenBlob, content: bytes, span: Span | None = None, *, step: int = 300_000) -> None:
    """Write `span` of `content`, slice by slice, in pieces of `step` bytes."""
    span = span or Span(0, len(content))
    for part in span.split(64 * MIB):
        claim = blob.try_claim(part)
        assert claim is not None, "nobody else fills it"
        async with claim as writer:
            for start in range(part.start, part.stop, step):
                await writer.write([content[start : min(part.stop, start + step)]])


def read(blob: OpenBlob, size: int) -> bytes:
    """All bytes of a complete blob, through its extents."""
    found = bytearray()
    while len(found) < size:
        extent = blob.readable(len(found), size)
        assert extent is not None, f"byte {len(found)} is not there"
        found += os.pread(extent.fd, extent.length, extent.offset)
    return bytes(found)


THREE_CHUNKS = 2 * CHUNK + 12_345

AT_REST = 2
"""Tasks of a store that nobody uses: upkeep's rounds, and its look for hung calls."""


async def until(condition: Callable[[], bool], *, deadline: float = 10.0) -> None:
    """Wait for `condition`, looking every few milliseconds; fails after `deadline` seconds."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - what others do in other processes sets no event
            await asyncio.sleep(0.005)
