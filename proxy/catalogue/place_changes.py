"""Which places of generic origins have changed: a page of numbers that all workers of the node share.

A place has one of a few hundred *slots*. Whoever keeps or drops a response there writes a number into its slot that was
never in it; whoever holds a copy of an answer remembers the number that was there before, and gives the copy only while
it still is. Two writers at once need no lock:

    1. A drops its row   2. A writes 17   3. C notes 17, finds B's row   4. B drops it   5. B writes 99: C's copy ends

and a slot that two places share costs each of them a copy now and then. The page is a file beside the catalogue. It is
mapped to be read, and written by `pwrite`: a disk that dies is an error then, not the end of the process.
"""

from __future__ import annotations

import logging
import mmap
import os
import secrets
from pathlib import Path
from typing import Final

from proxy.core.changes import Noted

SLOTS: Final = 512
_WIDTH: Final = 8
"""Bytes of a slot."""
FILE: Final = "changes"

log = logging.getLogger(__name__)


class PlaceChanges:
    """The page of the node whose state is in a folder; one of this process alone until it is opened, and when it cannot
    be: then a change by another worker is seen when the copies of answers have run out (a second)."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._mapped: mmap.mmap | None = None
        self._seen = memoryview(bytes(SLOTS * _WIDTH)).cast("Q")
        self._own = [0] * SLOTS
        """What this process wrote, should the disk not have taken it."""

    def open(self, folder: Path) -> None:
        """Share the page in `folder`. Never fails."""
        try:
            self._fd = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            os.ftruncate(self._fd, SLOTS * _WIDTH)
            self._mapped = mmap.mmap(self._fd, SLOTS * _WIDTH, mmap.MAP_SHARED, mmap.PROT_READ)
        except OSError as error:
            log.warning("workers do not see one another's purges at once", extra={"why": error.strerror})
            self.close()
            return
        self._seen = memoryview(self._mapped).cast("Q")

    def close(self) -> None:
        self._seen = memoryview(bytes(SLOTS * _WIDTH)).cast("Q")
        if self._mapped is not None:
            self._mapped.close()
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._mapped = None

    def noted(self, place: bytes) -> Noted:
        """The number of the place as it is now: note it before looking up what is kept there."""
        return Noted.now(_Slot(self, _slot_of(place)))

    def at(self, slot: int) -> int:
        return self._own[slot] + self._seen[slot]

    def happened(self, place: bytes) -> None:
        """What is kept at the place is another: call it when everybody can see that."""
        self._write(_slot_of(place), 1)

    def happened_everywhere(self) -> None:
        """What is kept anywhere may be another."""
        self._write(0, SLOTS)

    def _write(self, first: int, count: int) -> None:
        for slot in range(first, first + count):
            self._own[slot] += 1
        if self._fd is None:
            return
        try:
            os.pwrite(self._fd, secrets.token_bytes(count * _WIDTH), first * _WIDTH)
        except OSError as error:
            log.warning("other workers see a change late", extra={"why": error.strerror})


class _Slot:
    __slots__ = ("_changes", "_slot")

    def __init__(self, changes: PlaceChanges, slot: int) -> None:
        self._changes = changes
        self._slot = slot

    @property
    def count(self) -> int:
        return self._changes.at(self._slot)


def _slot_of(place: bytes) -> int:
    return int.from_bytes(place[:2]) % SLOTS
