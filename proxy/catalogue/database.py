"""The catalogue's file: opened, or moved aside and begun anew; written by one thread, in batches.

It is rebuildable: everything in it can be asked of the origin again. So a file that is damaged, from a newer version or
somebody else's is never repaired; it is renamed, with a log event, and a new one is begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from proxy.core.clock import Clock

from .schema import ADDED, APPLICATION, TABLES, VERSION

FILE: Final = "catalogue.sqlite"
LOCK: Final = "catalogue.lock"
DAMAGED: Final = "catalogue.damaged"
"""A file of this name tells the next start that the database was found damaged while it ran."""

Change = Callable[[sqlite3.Connection], None]
log = logging.getLogger(__name__)


def open_database(folder: Path, clock: Clock) -> sqlite3.Connection:
    """A connection to the catalogue in `folder` for writing, the file made, checked or replaced as need be.

    Raises OSError, sqlite3.Error when that cannot be done."""
    folder.mkdir(parents=True, exist_ok=True)
    # Under a lock that dies with its holder:
    #   1. A and B find the file damaged   2. A moves it aside and begins anew   3. B would move the new one aside
    with _alone(folder / LOCK):
        path = folder / FILE
        if (folder / DAMAGED).exists():
            _move_aside(path, clock, "found damaged while running")
            (folder / DAMAGED).unlink()
        try:
            return _checked(path)
        except _Foreign as error:
            _move_aside(path, clock, str(error))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # the disk, not the file
            _move_aside(path, clock, str(error))
        return _checked(path)


def open_reader(folder: Path) -> sqlite3.Connection:
    """A connection for look-ups on the loop thread: it waits for nobody. Raises sqlite3.Error."""
    reader = sqlite3.connect(
        f"file:{_quoted(folder / FILE)}?mode=ro", uri=True, timeout=0.05, isolation_level=None, check_same_thread=False
    )
    reader.execute("PRAGMA cache_size = -8192")
    return reader


def mark_damaged(folder: Path) -> None:
    """Have the next start move the file aside. Other workers may still use it now."""
    with contextlib.suppress(OSError):
        (folder / DAMAGED).touch()


def apply(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """All `changes` in one transaction, or none. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for change in changes:
            change(connection)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


class _Foreign(Exception):
    """Not a catalogue of this version."""


def _checked(path: Path) -> sqlite3.Connection:
    """Open `path`, make the tables when it is empty. Raises _Foreign, sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and (application != APPLICATION or version != VERSION):
            raise _Foreign(f"it is of version {version}, this program writes version {VERSION}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            _make_tables(connection)
        connection.executescript(f"BEGIN IMMEDIATE; {ADDED} COMMIT;")
        connection.execute("SELECT amount FROM totals LIMIT 1").fetchone()
        return connection
    except BaseException:
        connection.close()
        raise


def _make_tables(connection: sqlite3.Connection) -> None:
    """All in one transaction: a process killed in it leaves an empty file, which the next one fills."""
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
        )
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _move_aside(path: Path, clock: Clock, why: str) -> None:
    """Rename the database and what belongs to it; its journal must not be replayed into the new one."""
    aside = path.with_name(f"{path.name}.{int(clock.wall())}.{os.getpid()}.aside")
    log.error(
        "catalogue moved aside", extra={"file": str(path), "to": str(aside), "why": why, "effect": "it is learnt anew"}
    )
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
