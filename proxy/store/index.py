"""The index of a disk: its books, its queues, its promises. SQLite, shared by all workers, rebuildable from the files.

All methods block: they run in the disk's threads. Each is one transaction, and triggers keep the totals, so the books
are right after kill -9 at any line. A power cut may lose the last transactions (synchronous=NORMAL), so in another boot
everything is counted anew from the files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey

from .eviction import FREQUENCY_LIMIT, Queue, Row, Sweep
from .index_file import IndexFile
from .layout import TAGS, Entry
from .ledger import Books, Evict, Full, Granted, Limits, Room, decide

GHOSTS: Final = 100_000
"""Most evicted blobs remembered per disk."""
_BATCH: Final = 512


@dataclass(frozen=True, slots=True)
class Promise:
    """Bytes reserved by a worker for chunks `first + i` where bit i of `mask` is set (at most 64 of them)."""

    id: int
    worker: int
    entry: Entry
    generation: int
    first: int
    mask: int
    size: int

    @property
    def chunks(self) -> list[int]:
        return [self.first + bit for bit in range(64) if self.mask >> bit & 1]


@dataclass(frozen=True, slots=True)
class Totals:
    """The books, and what else a report wants to know."""

    books: Books
    small_bytes: int
    objects: int
    rebuilt: bool


def _signed(number: int) -> int:
    """An unsigned 64-bit number as SQLite keeps it."""
    return number - (1 << 64) if number >> 63 else number


def _unsigned(number: int) -> int:
    return number & ((1 << 64) - 1)


class Index:
    """One connection, used by one thread at a time; see `IndexFile`."""

    def __init__(self, path: str, pulse: Callable[[], None] = lambda: None) -> None:
        self._file = IndexFile(path, pulse)
        self.open, self.check, self.close = self._file.open, self._file.check, self._file.close

    # --- blobs --------------------------------------------------------------------------------------------------

    def add(self, entry: Entry, generation: int, *, size: int = 0, now: float = 0.0) -> None:
        """Enter a blob at the tail of its queue, unless that generation is there already."""
        with self._file.transaction() as db:
            self._add(db, entry, generation, size, now)

    def _add(self, db: sqlite3.Connection, entry: Entry, generation: int, size: int, now: float) -> None:
        name = entry.pack()
        row = db.execute("SELECT generation FROM blobs WHERE name=?", (name,)).fetchone()
        if row is not None and row[0] == _signed(generation):
            return
        if row is not None:
            db.execute("DELETE FROM blobs WHERE name=?", (name,))
        ghost = db.execute("DELETE FROM ghosts WHERE name=?", (name,)).rowcount
        queue = Queue.MAIN if ghost else Queue.SMALL
        db.execute(
            "INSERT INTO blobs SELECT ?, ?, ?, ?, seq, 0, ? FROM totals", (name, _signed(generation), size, queue, now)
        )

    def remove(self, entry: Entry, *, ghost: bool = False) -> int:
        """Strike a blob out; the bytes it was booked with. `ghost`: remember that it was here."""
        with self._file.transaction() as db:
            row = db.execute("DELETE FROM blobs WHERE name=? RETURNING bytes, seq", (entry.pack(),)).fetchone()
            if row is None:
                return 0
            if ghost:
                db.execute("INSERT OR REPLACE INTO ghosts SELECT ?, seq FROM totals", (entry.pack(),))
                db.execute("DELETE FROM ghosts WHERE seq < (SELECT seq - ? FROM totals)", (GHOSTS,))
            return int(row[0])

    def booked(self, entry: Entry) -> int | None:
        """The bytes a blob is booked with; None when it is not in the index."""
        with self._file.reading() as db:
            row = db.execute("SELECT bytes FROM blobs WHERE name=?", (entry.pack(),)).fetchone()
            return None if row is None else int(row[0])

    def booked_of(self, entries: Sequence[Entry]) -> dict[Entry, int]:
        """The bytes each of `entries` is booked with; those that are not in the index are left out."""
        found: dict[Entry, int] = {}
        with self._file.reading() as db:
            for first in range(0, len(entries), _BATCH):
                names = [entry.pack() for entry in entries[first : first + _BATCH]]
                marks = ",".join("?" * len(names))
                for name, size in db.execute(f"SELECT name, bytes FROM blobs WHERE name IN ({marks})", names):
                    found[Entry.unpack(name)] = size
        return found

    def entered(self, entry: Entry) -> float | None:
        """When (wall clock) a blob was entered."""
        with self._file.reading() as db:
            row = db.execute("SELECT entered FROM blobs WHERE name=?", (entry.pack(),)).fetchone()
            return None if row is None else float(row[0])

    def recount(self, entry: Entry, generation: int, count: Callable[[list[int]], int], now: float = 0.0) -> None:
        """Book what is really there: `count(without)` gives the bytes of the blob's complete chunks without those
        that are still booked as promises. Its file exists; a blob that is not in the index is entered."""
        with self._file.transaction() as db:
            self._add(db, entry, generation, 0, now)
            promised = [
                chunk
                for promise in self._promises(db, "WHERE name=? AND generation=?", (entry.pack(), _signed(generation)))
                for chunk in promise.chunks
            ]
            db.execute("UPDATE blobs SET bytes=? WHERE name=?", (count(promised), entry.pack()))

    def entries(self, after: Entry | None = None, limit: int = 1000) -> list[tuple[Entry, int]]:
        """Blobs and their booked bytes in the order of their names, from after `after` on."""
        with self._file.reading() as db:
            start = b"" if after is None else after.pack()
            rows = db.execute("SELECT name, bytes FROM blobs WHERE name > ? ORDER BY name LIMIT ?", (start, limit))
            return [(Entry.unpack(name), size) for name, size in rows]

    # --- promises -----------------------------------------------------------------------------------------------

    def reserve(self, wanted: Promise, limits: Limits, room: Room) -> int | Evict | Full:
        """Book the promise (its `id` is ignored) and return its id, or say what is in the way."""
        with self._file.transaction() as db:
            decision = decide(self._totals(db).books, limits, room, wanted.size)
            if not isinstance(decision, Granted):
                return decision
            row = (wanted.worker, wanted.entry.pack(), _signed(wanted.generation), wanted.first)
            cursor = db.execute(
                "INSERT INTO reservations(worker, name, generation, first, mask, bytes) VALUES (?,?,?,?,?,?)",
                (*row, _signed(wanted.mask), wanted.size),
            )
            assert cursor.lastrowid is not None, "an insert has a row id"
            return cursor.lastrowid

    def settle(self, promise: int, count: Callable[[], int]) -> None:
        """End a promise; the `count()` bytes of it that were written count as stored from now on.

        Counted inside the transaction: a chunk that is lost before is not counted, one lost after is recounted."""
        with self._file.transaction() as db:
            row = db.execute("DELETE FROM reservations WHERE id=? RETURNING name, generation", (promise,)).fetchone()
            gained = count() if row is not None else 0
            if gained:
                db.execute("UPDATE blobs SET bytes = bytes + ? WHERE name=? AND generation=?", (gained, *row))

    def publish(self, promise: int, entry: Entry, size: int, now: float) -> None:
        """End a promise for a small blob that is published now."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM reservations WHERE id=?", (promise,))
            self._add(db, entry, 0, size, now)

    def promises(self) -> list[Promise]:
        with self._file.reading() as db:
            return self._promises(db, "", ())

    def _promises(self, db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Promise]:
        rows = db.execute(f"SELECT id, worker, name, generation, first, mask, bytes FROM reservations {where}", values)
        return [
            Promise(id, worker, Entry.unpack(name), _unsigned(generation), first, _unsigned(mask), size)
            for id, worker, name, generation, first, mask, size in rows
        ]

    # --- totals -------------------------------------------------------------------------------------------------

    def totals(self) -> Totals:
        with self._file.reading() as db:
            return self._totals(db)

    def _totals(self, db: sqlite3.Connection) -> Totals:
        stored, reserved, small, objects, rebuilt = db.execute(
            "SELECT stored, reserved, small, objects, rebuilt FROM totals"
        ).fetchone()
        return Totals(Books(stored, reserved), small, objects, bool(rebuilt))

    def enter_boot(self, boot: bytes) -> None:
        """In another boot the books are in doubt: a power cut takes the last transactions, and what was not durable."""
        with self._file.transaction() as db:
            db.execute("UPDATE totals SET rebuilt = 0, boot = ? WHERE boot <> ?", (boot, boot))

    def mark_rebuilt(self) -> None:
        """The books say what is on the disk, for this boot."""
        with self._file.transaction() as db:
            db.execute("UPDATE totals SET rebuilt = 1")

    # --- eviction -----------------------------------------------------------------------------------------------

    def heads(self) -> tuple[list[Row], list[Row]]:
        """The heads of both queues, pinned blobs left out."""
        with self._file.reading() as db:
            return self._head(db, Queue.SMALL), self._head(db, Queue.MAIN)

    def _head(self, db: sqlite3.Connection, queue: Queue) -> list[Row]:
        rows = db.execute(
            "SELECT name, bytes, freq FROM blobs WHERE queue=? AND substr(name, 2) NOT IN (SELECT name FROM pins) "
            "ORDER BY seq LIMIT ?",
            (queue, _BATCH),
        )
        return [Row(Entry.unpack(name), size, frequency) for name, size, frequency in rows]

    def move(self, plan: Sweep) -> None:
        """Carry out the moves of a sweep (the victims are the disk's own business)."""
        with self._file.transaction() as db:
            for row in plan.to_main:
                self._requeue(db, row.entry, row.frequency)

    def send_back(self, entries: Iterable[Entry]) -> None:
        """Victims that were being read: to the tail of MAIN."""
        with self._file.transaction() as db:
            for entry in entries:
                self._requeue(db, entry, 0)

    def _requeue(self, db: sqlite3.Connection, entry: Entry, frequency: int) -> None:
        db.execute("UPDATE totals SET seq = seq + 1")
        db.execute(
            "UPDATE blobs SET queue=?, freq=?, seq=(SELECT seq FROM totals) WHERE name=?",
            (Queue.MAIN, frequency, entry.pack()),
        )

    def touch(self, entries: Iterable[Entry]) -> None:
        """Count one reading of each."""
        with self._file.transaction() as db:
            db.executemany(
                "UPDATE blobs SET freq = min(freq + 1, ?) WHERE name=?",
                [(FREQUENCY_LIMIT, entry.pack()) for entry in entries],
            )

    # --- pins ---------------------------------------------------------------------------------------------------

    def pin(self, key: BlobKey, *, pinned: bool) -> None:
        """Keep whatever is under `key` from eviction, or no longer."""
        statement = "INSERT OR IGNORE INTO pins VALUES (?)" if pinned else "DELETE FROM pins WHERE name=?"
        with self._file.transaction() as db:
            db.execute(statement, (bytes.fromhex(key.hex),))

    def pin_all(self, keys: Iterable[BlobKey], *, pinned: bool) -> None:
        """As `pin`, in one transaction."""
        statement = "INSERT OR IGNORE INTO pins VALUES (?)" if pinned else "DELETE FROM pins WHERE name=?"
        with self._file.transaction() as db:
            db.executemany(statement, [(bytes.fromhex(key.hex),) for key in keys])

    def pinned_bytes(self) -> int:
        with self._file.reading() as db:
            names = " UNION ALL ".join(f"SELECT CAST('{tag}' || name AS BLOB) FROM pins" for tag in TAGS)
            return int(db.execute(f"SELECT total(bytes) FROM blobs WHERE name IN ({names})").fetchone()[0])
