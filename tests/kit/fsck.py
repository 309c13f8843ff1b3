"""O5: whether what lies on the disks of a stopped node agrees with itself.

Reads formats with the store's own words (layout, map) and everything else on its own: it takes no lock, trusts no
index, and hashes all bytes.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from proxy.config.schema import StoreSection
from proxy.core.blob import BlobKey, KeyScheme
from proxy.core.clock import SystemClock
from proxy.core.sizes import CHUNK, chunk_count, parse_size
from proxy.store.blobstore import BlobStore
from proxy.store.chunkmap import ChunkMap, MapDamaged, map_size, read_header
from proxy.store.layout import Entry, Layout

from .node import NodePlan


@dataclass(frozen=True, slots=True)
class Share:
    """What one disk holds of a chunked blob: its complete chunks (verified ones among them), all read and checked."""

    folder: Path
    size: int
    sealed: bool
    complete: frozenset[int]
    verified: frozenset[int]
    wrong: tuple[int, ...]

    @property
    def kept(self) -> int:
        return sum(min(CHUNK, self.size - chunk * CHUNK) for chunk in self.complete)


async def complaints_of(plan: NodePlan) -> list[str]:
    """Everything wrong with the stopped node's disks, by our own reading and by the store's; empty when all is well."""
    ours = _our_complaints(plan)
    return ours + await _store_complaints(plan)


async def _store_complaints(plan: NodePlan) -> list[str]:
    """What the store's own fsck says once it has opened (and so cleaned up) its disks."""
    disks = [{"path": str(path), "size": spec.rpartition("=")[2]} for path, spec in _used_disks(plan)]
    if not disks:
        return []
    section = StoreSection.model_validate({"disks": disks, "free_floor": 0})
    async with BlobStore.open(section, clock=SystemClock(), node="fsck", worker=0) as store:
        found = await store.fsck(full=True)
    return [f"{finding.disk}: {finding.fault.value}: {finding.about} {finding.detail}" for finding in found]


def _used_disks(plan: NodePlan) -> list[tuple[Path, str]]:
    pairs = zip(plan.disk_folders, plan.disks, strict=True)
    return [(path, spec) for path, spec in pairs if (path / "index.sqlite").exists()]


def _our_complaints(plan: NodePlan) -> list[str]:
    shares: dict[str, list[Share]] = defaultdict(list)
    found: list[str] = []
    for disk, spec in _used_disks(plan):
        held: dict[Entry, int] = {}
        for share in _shares(disk, found):
            shares[share.folder.name].append(share)
            held[_entry_of(share.folder)] = share.kept
        held |= dict(_small_blobs(disk, found))
        found += _index_complaints(disk, held, spec.rpartition("=")[2])
    for name, parts in shares.items():
        found += _blob_complaints(name, parts)
    return found


def sealed_blobs(disks: Iterable[Path]) -> set[str]:
    """The hex keys of the blobs that a store over these disks says it has, whole and verified."""
    parts: dict[str, list[Share]] = defaultdict(list)
    found: set[str] = set()
    for disk in disks:
        for share in _shares(disk, []):
            parts[share.folder.name].append(share)
        found |= {path.name for path in (disk / "small").glob("*/*")}
    return found | {name.partition("-")[2] for name, shares in parts.items() if _is_sealed(shares)}


def _shares(disk: Path, found: list[str]) -> Iterator[Share]:
    for folder in sorted((disk / "blobs").glob("*/*")):
        try:
            share = _share(folder)
        except (MapDamaged, OSError, ValueError) as error:
            found.append(f"{folder}: {error}")
            continue
        found += [f"{folder}: chunk {chunk} does not match its CRC" for chunk in share.wrong]
        yield share


def _share(folder: Path) -> Share:
    with (folder / "map").open("rb") as file:
        record, _ = read_header(os.pread(file.fileno(), 4096, 0))
        length = map_size(record.size)
        chunk_map = ChunkMap(mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY))
    try:
        complete = [number for number, here in enumerate(chunk_map.complete(0, chunk_map.chunks)) if here]
        verified = [number for number, here in enumerate(chunk_map.verified()) if here]
        crcs = {number: chunk_map.crc(number) for number in complete}
        sealed, dropped = chunk_map.sealed, chunk_map.dropped
    finally:
        chunk_map.close()
    if dropped:
        raise ValueError("a dropped blob is still published")
    wrong = tuple(number for number in complete if zlib.crc32(_chunk(folder, number, record.size)) != crcs[number])
    return Share(folder, record.size, sealed, frozenset(complete), frozenset(verified), wrong)


def _chunk(folder: Path, number: int, size: int) -> bytes:
    with (folder / "bytes").open("rb") as file:
        return os.pread(file.fileno(), min(CHUNK, size - number * CHUNK), number * CHUNK)


def _entry_of(folder: Path) -> Entry:
    scheme, _, digits = folder.name.partition("-")
    return Entry(BlobKey(scheme, digits), small=False)


def _is_sealed(shares: list[Share]) -> bool:
    """Whether the blob is whole and verified. A share whose sibling was evicted keeps its own mark."""
    sealed = [share for share in shares if share.sealed]
    return frozenset[int]().union(*(share.verified for share in sealed)) == frozenset(
        range(chunk_count(shares[0].size))
    )


def _blob_complaints(name: str, shares: list[Share]) -> Iterator[str]:
    """A sealed blob, over all disks, hashes to its key."""
    if not _is_sealed(shares) or not name.startswith(KeyScheme.SHA256.value):
        return
    size, digest = shares[0].size, hashlib.sha256()
    for number in range(chunk_count(size)):
        share = next(share for share in shares if number in share.verified)
        digest.update(_chunk(share.folder, number, size))
    if digest.hexdigest() != name.partition("-")[2]:
        yield f"{name} is sealed and its bytes hash to {digest.hexdigest()}"


def _small_blobs(disk: Path, found: list[str]) -> Iterator[tuple[Entry, int]]:
    for path in sorted((disk / "small").glob("*/*")):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.name:
            found.append(f"{path} does not hash to its name")
        yield Entry(BlobKey.sha256(path.name), small=True), len(content)


def _index_complaints(disk: Path, held: Mapping[Entry, int], limit: str) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{Layout(str(disk)).index}?mode=ro", uri=True)) as index:
        rows = {Entry.unpack(name): size for name, size in index.execute("SELECT name, bytes FROM blobs")}
        promises = index.execute("SELECT worker, bytes FROM reservations").fetchall()
        stored, reserved, objects = index.execute("SELECT stored, reserved, objects FROM totals").fetchone()
    yield from (f"{disk}: worker {worker} still has {size} bytes reserved" for worker, size in promises)
    if reserved:
        yield f"{disk}: {reserved} bytes are reserved by nobody"
    if (stored, objects) != (sum(rows.values()), len(rows)):
        yield f"{disk}: the ledger says {stored} bytes in {objects} blobs, its rows {sum(rows.values())} in {len(rows)}"
    for entry in rows.keys() | held.keys():
        if rows.get(entry) != held.get(entry):
            yield f"{disk}: {entry.text} has {held.get(entry)} bytes, the index says {rows.get(entry)}"
    if stored > parse_size(limit):
        yield f"{disk}: {stored} bytes are stored, more than its limit of {limit}"
