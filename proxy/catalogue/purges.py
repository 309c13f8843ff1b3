"""Purges of responses: of what is kept, and of what was asked for before and is kept after.

1. A asks the origin   2. the operator purges   3. A's answer comes and is kept
Without a memory of purges the answer of 3 would be what the operator wanted to be gone; so each head that is put down
is compared with them, in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, assert_never

from proxy.core.blob import BlobKey
from proxy.core.purging import Below, Purge, Tagged, ThisTarget, Which, named, which_named
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import LargeBody, StoredResponse
from proxy.rfc9111.tags import tags_of

from .database import Change
from .heads import head_of, response_of

KEPT: Final = 10_000
"""Purges remembered at most."""
KEPT_FOR: Final = 86_400.0
"""Seconds: what was asked for longer ago, and comes only now, is kept as if nobody had purged it."""
AT_ONCE: Final = 500
"""Responses that a purge in one transaction is about at most: more than are kept of any target."""
Cursor = tuple[bytes, str]
BEGINNING: Final[Cursor] = (b"", "")
SINCE: Final = "SELECT kind, text, at, soft FROM purges WHERE origin = ? AND at >= ?"
"""The purges of an origin since a time."""
_BEYOND: Final = "\x7f"
"""Sorts behind every character of a target."""


def remember(purge: Purge) -> Change:
    kind, text = named(purge.which)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO purges VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (origin, kind, text, soft) DO UPDATE SET at = max(at, excluded.at)",
            (purge.origin, kind, text, purge.at, purge.soft),
        )
        connection.execute("DELETE FROM purges WHERE at < ?", (purge.at - KEPT_FOR,))
        (count,) = connection.execute("SELECT count(*) FROM purges").fetchone()
        if count > KEPT:
            connection.execute(
                "DELETE FROM purges WHERE (origin, kind, text, soft) IN "
                "(SELECT origin, kind, text, soft FROM purges ORDER BY at LIMIT ?)",
                (count - KEPT,),
            )

    return change


def at_once(purge: Purge) -> Change:
    """`remember` it and carry it out, in one transaction: for a purge of no more than the variants of one target."""

    def change(connection: sqlite3.Connection) -> None:
        remember(purge)(connection)
        Round(purge, BEGINNING, AT_ONCE).carry_out(connection)

    return change


class Round:
    """One transaction's share of a purge, after `after`; then `last` is where the next goes on, None at the end."""

    def __init__(self, purge: Purge, after: Cursor, most: int) -> None:
        self._purge = purge
        self._after = after
        self._most = most
        self.count = 0
        self.keys: tuple[BlobKey, ...] = ()
        self.last: Cursor | None = None

    def carry_out(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(*selection(self._purge, self._after, self._most)).fetchall()
        met = [row for row in rows if is_met(self._purge, row)]
        for place, selecting, _, head in met:
            _end(connection, place, selecting, response_of(head), self._purge)
        bodies = [response_of(head).body for _, _, _, head in met]
        self.count = len(met)
        # A small body is shared by its hash with whatever else is the same; the room it takes is eviction's business.
        is_large = not self._purge.soft
        self.keys = tuple(body.record.key for body in bodies if is_large and isinstance(body, LargeBody))
        self.last = following(rows, self._most)


def selection(purge: Purge, after: Cursor, most: int) -> tuple[str, tuple[Any, ...]]:
    """The next rows after `after` that `purge` may be about."""
    where, values = _where(purge.which)
    statement = (
        "SELECT place, selecting, target, head FROM responses WHERE origin = ? AND "
        f"{where} AND (place, selecting) > (?, ?) ORDER BY place, selecting LIMIT ?"
    )
    return statement, (purge.origin, *values, *after, most)


def is_met(purge: Purge, row: Any) -> bool:
    """Whether `purge` is about a row of its `selection`."""
    stored = response_of(row[3])
    return purge.covers(row[2], tags_of(stored.fields), stored.requested_at)


def following(rows: list[Any], most: int) -> Cursor | None:
    """Where the next selection goes on; None when there are no more."""
    return (rows[-1][0], rows[-1][1]) if len(rows) == most else None


def tag(connection: sqlite3.Connection, place: bytes, selecting: str, fields: Fields) -> None:
    """Note which tags the response kept at this row has."""
    connection.execute("DELETE FROM response_tags WHERE place = ? AND selecting = ?", (place, selecting))
    connection.executemany(
        "INSERT INTO response_tags VALUES (?, ?, ?)", [(name, place, selecting) for name in sorted(tags_of(fields))]
    )


def overtake(
    connection: sqlite3.Connection, origin: str, target: str, place: bytes, selecting: str, stored: StoredResponse
) -> None:
    """Treat a response that was just put down as the purges want it that came after it was asked for."""
    found = connection.execute(SINCE, (origin, stored.requested_at)).fetchall()
    for purge in covering(found, origin, target, stored):
        _end(connection, place, selecting, stored, purge)


def covering(rows: list[Any], origin: str, target: str, stored: StoredResponse) -> Iterator[Purge]:
    """Those of the purges in `rows` that `stored` is meant by."""
    tags = tags_of(stored.fields)
    for kind, text, at, soft in rows:
        purge = Purge(origin, which_named(kind, text), at, bool(soft))
        if purge.covers(target, tags, stored.requested_at):
            yield purge


def _end(connection: sqlite3.Connection, place: bytes, selecting: str, stored: StoredResponse, purge: Purge) -> None:
    if not purge.soft:
        connection.execute("DELETE FROM responses WHERE place = ? AND selecting = ?", (place, selecting))
        return
    ended = purge.at if stored.ended is None else min(purge.at, stored.ended)
    connection.execute(
        "UPDATE responses SET head = ? WHERE place = ? AND selecting = ?",
        (head_of(replace(stored, ended=ended)), place, selecting),
    )


def _where(which: Which) -> tuple[str, tuple[Any, ...]]:
    match which:
        case ThisTarget(target):
            return "target = ?", (target,)
        case Below(prefix):
            return "target >= ? AND target < ?", (prefix, prefix + _BEYOND)
        case Tagged(name):
            return "(place, selecting) IN (SELECT place, selecting FROM response_tags WHERE tag = ?)", (name,)
        case _:
            assert_never(which)
