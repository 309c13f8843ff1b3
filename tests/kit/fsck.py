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

from proxy.core.blob import BlobKey, KeyScheme
from proxy.core.sizes import CHUNK, chunk_count, parse_size
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


def complaints_of(plan: NodePlan) -> list[str]:
    """Everything wrong with the stopped node's disks; empty when all is well."""
    shares: dict[str, list[Share]] = defaultdict(list)
    found: list[str] = []
    for disk, spec in zip(plan.disk_folders, plan.disks, strict=True):
        if not (disk / "index.sqlite").exists():
            continue
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
    found: set[str] = set()
    for disk in disks:
        found |= {share.folder.name.partition("-")[2] for share in _shares(disk, []) if share.sealed}
        found |= {path.name for path in (disk / "small").glob("*/*")}
    return found


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


def _blob_complaints(name: str, parts: list[Share]) -> Iterator[str]:
    """A blob over all disks: a sealed one is whole, and a whole verified one hashes to its key."""
    size = parts[0].size
    chunks = frozenset(range(chunk_count(size)))
    verified = frozenset[int]().union(*(part.verified for part in parts))
    if all(part.sealed for part in parts) and verified != chunks:
        yield f"{name} is sealed and {len(chunks - verified)} of its {len(chunks)} chunks are not verified"
    if verified == chunks and name.startswith(KeyScheme.SHA256.value):
        digest = hashlib.sha256()
        for number in sorted(chunks):
            part = next(part for part in parts if number in part.verified)
            digest.update(_chunk(part.folder, number, size))
        if digest.hexdigest() != name.partition("-")[2]:
            yield f"{name} is verified and its bytes hash to {digest.hexdigest()}"


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
