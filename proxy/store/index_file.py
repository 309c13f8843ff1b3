"""The file behind the index of a disk: its tables, its transactions, and SQLite's errors in our words."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Final

SCHEMA_VERSION: Final = 2
BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another worker's transaction; each takes well under a millisecond."""

_SCHEMA: Final = """
CREATE TABLE blobs(name BLOB PRIMARY KEY, generation INTEGER NOT NULL, bytes INTEGER NOT NULL,
                   queue INTEGER NOT NULL, seq INTEGER NOT NULL, freq INTEGER NOT NULL,
                   entered REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX blobs_in_order ON blobs(queue, seq);
CREATE TABLE reservations(id INTEGER PRIMARY KEY, worker INTEGER NOT NULL, name BLOB NOT NULL,
                          generation INTEGER NOT NULL, first INTEGER NOT NULL, mask INTEGER NOT NULL,
                          bytes INTEGER NOT NULL);
CREATE TABLE ghosts(name BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX ghosts_in_order ON ghosts(seq);
CREATE TABLE pins(name BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE totals(stored INTEGER NOT NULL, reserved INTEGER NOT NULL, small INTEGER NOT NULL,
                    objects INTEGER NOT NULL, seq INTEGER NOT NULL, rebuilt INTEGER NOT NULL,
                    boot BLOB NOT NULL);
INSERT INTO totals VALUES (0, 0, 0, 0, 0, 0, x'');
CREATE TRIGGER blob_in AFTER INSERT ON blobs BEGIN
  UPDATE totals SET stored = stored + new.bytes, objects = objects + 1, seq = seq + 1,
                    small = small + CASE new.queue WHEN 0 THEN new.bytes ELSE 0 END; END;
CREATE TRIGGER blob_out AFTER DELETE ON blobs BEGIN
  UPDATE totals SET stored = stored - old.bytes, objects = objects - 1,
                    small = small - CASE old.queue WHEN 0 THEN old.bytes ELSE 0 END; END;
CREATE TRIGGER blob_grows AFTER UPDATE OF bytes, queue ON blobs BEGIN
  UPDATE totals SET stored = stored + new.bytes - old.bytes,
                    small = small + CASE new.queue WHEN 0 THEN new.bytes ELSE 0 END
                                  - CASE old.queue WHEN 0 THEN old.bytes ELSE 0 END; END;
CREATE TRIGGER promise_in AFTER INSERT ON reservations BEGIN UPDATE totals SET reserved = reserved + new.bytes; END;
CREATE TRIGGER promise_out AFTER DELETE ON reservations BEGIN UPDATE totals SET reserved = reserved - old.bytes; END;
"""


class IndexDamaged(OSError):
    """The file is no index of ours, or is corrupt; the next start rebuilds it from the disk. Counts as an I/O error."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EIO, message)


class IndexFile:
    """One connection, used by one thread at a time.

    `pulse` writes a byte to the disk and raises OSError when it takes none. It is felt before every transaction: SQLite
    stores into a mapped file (`-shm`), and on a disk that has died such a store is no error but a SIGBUS."""

    def __init__(self, path: str, pulse: Callable[[], None]) -> None:
        self._path = path
        self._pulse = pulse
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, or make it. Raises IndexDamaged, OSError; `close` it then, too."""
        try:
            db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            self._db = db
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA wal_autocheckpoint=2000")
            self._ensure_schema(db)
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def check(self) -> None:
        """Look through all pages (about half a second for a million blobs). Raises IndexDamaged, OSError."""
        with self.reading() as db:
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _ensure_schema(self, db: sqlite3.Connection) -> None:
        with self.transaction() as inside:
            version = inside.execute("PRAGMA user_version").fetchone()[0]
            if version == SCHEMA_VERSION:
                return
            if version != 0:
                raise sqlite3.DatabaseError(f"index of version {version}, this program knows {SCHEMA_VERSION}")
            for statement in _statements(_SCHEMA):
                inside.execute(statement)
            inside.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction."""
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # SQLite ends some of its own accord: of a full disk, or one that fails
                    db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The index, to oneself. SQLite's own errors become OSErrors, which count against the disk."""
        with self._lock:
            db = self._db
            if db is None:
                raise OSError(errno.EIO, "the index is closed")
            self._pulse()
            try:
                yield db
            except sqlite3.DatabaseError as error:
                raise self._translated(error) from error

    def _translated(self, error: sqlite3.DatabaseError) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return OSError(errno.ENOSPC, f"index {self._path}: {error}")
        if code == sqlite3.SQLITE_READONLY:
            return OSError(errno.EROFS, f"index {self._path}: {error}")
        if code == sqlite3.SQLITE_BUSY:
            return OSError(errno.EAGAIN, f"index {self._path}: {error}")
        if code == sqlite3.SQLITE_IOERR:
            return OSError(errno.EIO, f"index {self._path}: {error}")
        return IndexDamaged(f"index {self._path}: {error}")


def _statements(script: str) -> Iterator[str]:
    """The statements of `script` (executescript would end our transaction)."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
