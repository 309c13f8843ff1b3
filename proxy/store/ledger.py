"""The account of a disk: what is stored, what is promised, and whether there is room for more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.core.sizes import CHUNK

INODE_FLOOR: Final = 1024
"""Files that must stay free for others, on file systems that count them."""


@dataclass(frozen=True, slots=True)
class Books:
    """Bytes of complete chunks and small blobs, and bytes promised to fills under way."""

    stored: int
    reserved: int

    def __post_init__(self) -> None:
        if self.stored < 0 or self.reserved < 0:
            raise ValueError(f"books below zero: {self}")


@dataclass(frozen=True, slots=True)
class Limits:
    """`hard` is never exceeded by stored + reserved; eviction goes down to `soft`; `floor` stays free on the disk."""

    soft: int
    hard: int
    floor: int


@dataclass(frozen=True, slots=True)
class Room:
    """What the file system says: free bytes, and free inodes (None where it does not count them)."""

    free: int
    inodes: int | None


@dataclass(frozen=True, slots=True)
class Granted:
    """The bytes may be reserved."""


@dataclass(frozen=True, slots=True)
class Evict:
    """There will be room when `size` bytes (>= 1) are evicted."""

    size: int


@dataclass(frozen=True, slots=True)
class Full:
    """No eviction makes that much room."""


def decide(books: Books, limits: Limits, room: Room, wanted: int) -> Granted | Evict | Full:
    """Whether `wanted` more bytes may be reserved.

    The bytes promised to others are taken as not yet written, so the floor holds even when all of them are."""
    over_limit = books.stored + books.reserved + wanted - limits.hard
    below_floor = limits.floor - (room.free - books.reserved - wanted)
    out_of_inodes = room.inodes is not None and room.inodes < INODE_FLOOR
    short = max(over_limit, below_floor, 1 if out_of_inodes else 0)
    if short <= 0:
        return Granted()
    if short > books.stored:
        return Full()
    return Evict(min(books.stored, max(short, books.stored + books.reserved + wanted - limits.soft)))


def takes(books: Books, limits: Limits, room: Room, pinned: int) -> bool:
    """Whether the disk takes new bytes at all, once all that may be evicted has been: all but `pinned` bytes. What is
    promised is not counted: those promises are kept."""
    return min(limits.hard, room.free + books.stored - limits.floor) - pinned >= CHUNK


def excess(books: Books, limits: Limits, room: Room) -> int:
    """How many bytes a quiet moment should evict."""
    return min(books.stored, max(0, books.stored + books.reserved - limits.soft, limits.floor - room.free))
