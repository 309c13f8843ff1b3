"""Responses of generic origins: their heads, as rows beside everything else that can be asked for again.

Look-ups are synchronous, writes return when other workers of the node can see them; see `catalogue`. While the state
disk fails, heads are kept in memory.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import orjson

from proxy.core.blob import BlobKey, BlobRecord
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import LargeBody, SmallBody, StoredResponse

from .database import Change
from .state_disk import StateDisk

MOST_VARIANTS: Final = 32
"""Responses kept for one place; the oldest goes first."""
MOST_RESPONSES: Final = 1_000_000
BATCH: Final = 500
_AT: Final = "SELECT head FROM responses WHERE place = ?"


class StoredResponses:
    """The heads of one node's generic origins (`fetch.web.ports.Responses`)."""

    def __init__(self, disk: StateDisk, *, most: int = MOST_RESPONSES) -> None:
        self._disk = disk
        self._most = most

    def at(self, place: bytes) -> tuple[StoredResponse, ...]:
        """All responses kept for the place."""
        unwritten = self._disk.unwritten("responses", place)
        if isinstance(unwritten, tuple):
            return unwritten
        found = []
        for (head,) in self._disk.rows(_AT, (place,)):
            try:
                found.append(_response(head))
            except (ValueError, KeyError, TypeError) as error:
                self._disk.fail(ValueError(f"a stored head is damaged: {error}"))
        return tuple(found)

    async def keep(self, place: bytes, origin: str, target: str, stored: StoredResponse) -> None:
        """Keep `stored`, in place of the one for the same requests."""
        others = tuple(other for other in self.at(place) if other.selecting != stored.selecting)
        await self._disk.write(
            _put(place, origin, target, stored, self._most), ("responses", place), (*others, stored)[-MOST_VARIANTS:]
        )

    async def drop(self, place: bytes, selecting: Fields | None = None) -> None:
        """Forget what is kept for the place: all, or that for the requests with these fields."""
        rest = () if selecting is None else tuple(one for one in self.at(place) if one.selecting != selecting)
        await self._disk.write(_drop(place, selecting), ("responses", place), rest)


def _put(place: bytes, origin: str, target: str, stored: StoredResponse, most: int) -> Change:
    row = (place, _text(stored.selecting), origin, target, _head(stored), stored.received_at)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (place, selecting) DO UPDATE SET "
            "head = excluded.head, received_at = excluded.received_at WHERE excluded.received_at >= received_at",
            row,
        )
        connection.execute(
            "DELETE FROM responses WHERE place = ? AND selecting NOT IN (SELECT selecting FROM responses "
            f"WHERE place = ? ORDER BY received_at DESC LIMIT {MOST_VARIANTS})",
            (place, place),
        )
        (count,) = connection.execute("SELECT amount FROM totals WHERE name = 'responses'").fetchone()
        if count > most:
            connection.execute(
                "DELETE FROM responses WHERE (place, selecting) IN "
                f"(SELECT place, selecting FROM responses ORDER BY received_at LIMIT {min(BATCH, count - most)})"
            )

    return change


def _drop(place: bytes, selecting: Fields | None) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        if selecting is None:
            connection.execute("DELETE FROM responses WHERE place = ?", (place,))
        else:
            connection.execute("DELETE FROM responses WHERE place = ? AND selecting = ?", (place, _text(selecting)))

    return change


def _text(selecting: Fields) -> str:
    return orjson.dumps(selecting).decode()


def _head(stored: StoredResponse) -> bytes:
    body: dict[str, Any]
    match stored.body:
        case SmallBody(key, size):
            body = {"key": str(key), "size": size}
        case LargeBody(record, strong):
            body = {"key": str(record.key), "size": record.size, "validator": record.validator, "strong": strong}
    return orjson.dumps(
        {
            "status": stored.status,
            "fields": stored.fields,
            "selecting": stored.selecting,
            "asked": stored.requested_at,
            "came": stored.received_at,
            "invalid": stored.invalid,
            "body": body,
        }
    )


def _response(head: bytes) -> StoredResponse:
    """What `_head` wrote. Raises ValueError, KeyError, TypeError."""
    told = orjson.loads(head)
    body, key = told["body"], BlobKey.parse(told["body"]["key"])
    kept: SmallBody | LargeBody = SmallBody(key, body["size"])
    if "validator" in body:
        kept = LargeBody(BlobRecord(key, body["size"], body["validator"], None), body["strong"])
    return StoredResponse(
        told["status"],
        tuple((name, value) for name, value in told["fields"]),
        tuple((name, value) for name, value in told["selecting"]),
        told["asked"],
        told["came"],
        kept,
        told["invalid"],
    )
