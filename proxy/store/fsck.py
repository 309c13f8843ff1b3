"""Does the store hold what it says? Books against files, states against CRCs, sealed blobs against their digests.

The oracle after tests and crashes, and the `verify` of the command line. It reads only, and takes no lock: run it while
nothing fills, or take a finding about a blob under way for what it is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from .chunkmap import MapDamaged
from .layout import Entry
from .part import Part, open_part
from .recovery import DiskAccount, branches, published
from .syscalls import read_all


class Fault(Enum):
    """What can be wrong."""

    WRONG_BYTES = "wrong bytes"
    DAMAGED = "damaged"
    BOOKS = "books"
    NOT_INDEXED = "not indexed"
    PHANTOM = "indexed, not there"
    LEAKED_PROMISE = "leaked promise"
    LEFTOVER = "leftover"
    OVER_LIMIT = "over the limit"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong on one disk; `about` names the blob or file."""

    disk: str
    fault: Fault
    about: str
    detail: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the files of a disk hold: bytes by entry, and what was wrong with them."""

    sizes: dict[Entry, int]
    findings: list[Finding]


def inspect_files(shelf: DiskAccount, *, full: bool) -> Inventory:
    """Every published file; `full` reads them all and compares with CRCs and names. Blocks."""
    sizes: dict[Entry, int] = {}
    findings: list[Finding] = []
    for folder, branch in branches(shelf):
        for entry in published(shelf, folder, branch):
            inspect = _inspect_small if entry.small else _inspect_large
            size, faults = inspect(shelf, entry, full)
            sizes[entry] = size
            findings += [Finding(shelf.disk.name, fault, entry.text, detail) for fault, detail in faults]
    return Inventory(sizes, findings)


def _inspect_small(shelf: DiskAccount, entry: Entry, full: bool) -> tuple[int, list[tuple[Fault, str]]]:
    fd = shelf.calls.open(shelf.layout.place(entry), os.O_RDONLY)
    try:
        size = shelf.calls.fstat(fd).st_size
        if full and hashlib.sha256(read_all(shelf.calls, fd, size, 0)).hexdigest() != entry.key.hex:
            return size, [(Fault.WRONG_BYTES, "its sha256 is not its name")]
    finally:
        os.close(fd)
    return size, []


def _inspect_large(shelf: DiskAccount, entry: Entry, full: bool) -> tuple[int, list[tuple[Fault, str]]]:
    try:
        part = open_part(shelf.disk, shelf.layout.place(entry), shelf.boot)
    except MapDamaged as error:
        return 0, [(Fault.DAMAGED, str(error))]
    if part is None:
        return 0, [(Fault.DAMAGED, "it has no map")]
    try:
        faults = list(_wrong_chunks(part)) if full else []
        if full and not faults:
            faults += _wrong_whole(part)
        return part.map.bytes_kept(), faults
    finally:
        part.close()


def _wrong_chunks(part: Part) -> Iterator[tuple[Fault, str]]:
    complete = part.map.complete(0, part.map.chunks)
    for chunk in range(part.map.chunks):
        if complete[chunk] and not part.is_right(chunk):
            yield Fault.WRONG_BYTES, f"chunk {chunk} does not match its CRC"


def _wrong_whole(part: Part) -> list[tuple[Fault, str]]:
    """A blob that lies on this disk alone and calls itself verified is hashed again."""
    digest = part.map.record.digest
    if digest is None or 0 in part.map.verified():
        return []
    hasher = digest.hasher(part.map.record.size)
    for chunk in range(part.map.chunks):
        hasher.update(part.read(chunk << 20, part.map.length(chunk)))
    return [] if hasher.hexdigest() == digest.hex else [(Fault.WRONG_BYTES, "sealed, and its digest is wrong")]


def compare_books(shelf: DiskAccount, inventory: Inventory) -> list[Finding]:
    """The index against the files. Blocks."""
    findings = list(_entries_apart(shelf, inventory.sizes)) + list(_promises_apart(shelf))
    totals = shelf.index.totals()
    booked = sum(inventory.sizes.values())
    name = shelf.disk.name
    if totals.books.stored != booked and not findings:
        findings.append(Finding(name, Fault.BOOKS, "totals", f"booked {totals.books.stored}, there are {booked}"))
    if totals.books.stored + totals.books.reserved > shelf.limits.hard:
        findings.append(Finding(name, Fault.OVER_LIMIT, "totals", f"{totals.books} of {shelf.limits.hard}"))
    for folder in ("tmp", "trash"):
        for left in shelf.calls.listdir(f"{shelf.layout.root}/{folder}"):
            findings.append(Finding(name, Fault.LEFTOVER, f"{folder}/{left}", "nobody deletes it"))
    return findings


def _entries_apart(shelf: DiskAccount, sizes: dict[Entry, int]) -> Iterator[Finding]:
    name, seen = shelf.disk.name, set()
    last: Entry | None = None
    while batch := shelf.index.entries(last):
        last = batch[-1][0]
        for entry, booked in batch:
            seen.add(entry)
            if entry not in sizes and booked:
                yield Finding(name, Fault.PHANTOM, entry.text, f"booked with {booked} bytes")
            elif entry in sizes and sizes[entry] != booked:
                yield Finding(name, Fault.BOOKS, entry.text, f"booked {booked}, there are {sizes[entry]}")
    for entry in sizes.keys() - seen:
        yield Finding(name, Fault.NOT_INDEXED, entry.text, f"{sizes[entry]} bytes")


def _promises_apart(shelf: DiskAccount) -> Iterator[Finding]:
    for promise in shelf.index.promises():
        settled_by_us = promise.worker == shelf.worker and promise.id in shelf.live
        settled_by_others = promise.worker != shelf.worker and shelf.tenancy.is_alive(promise.worker)
        if not settled_by_us and not settled_by_others:
            about = promise.entry.text
            yield Finding(shelf.disk.name, Fault.LEAKED_PROMISE, about, f"{promise.size} bytes of {promise.worker}")
