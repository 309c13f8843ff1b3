"""The tables, and how values become rows and come back. Pure.

    refs         (repo, revision) -> commit, when it was last confirmed
    commits      (repo, commit) -> a small number, so that twenty million paths do not each carry forty digits
    resolutions  (commit number, path) -> etag, size, key, Xet hash; no etag: there is no such file
    listings     (repo, text) -> status, headers, body (zlib when that is marked)
    publicity    (repo, plane) -> when an anonymous caller was last seen to be allowed
    responses    (place, request fields that select) -> head of a generic origin's response, when it came
    response_tags  tag -> the responses that the origin gave it
    purges       what was purged, or written to, lately, so that what was asked for before is not kept after
    forgotten    (repo, commit or "") -> when that was to be forgotten; (blob key, when it was purged) -> when that was
                 done: both are heard again, and done once
    totals       rows and bytes of what is bounded, kept by triggers, so that all workers agree without counting

`used` is in hours since 1970: coarse, so that reading hardly ever writes.
"""

from __future__ import annotations

import zlib
from typing import Final

import orjson

from proxy.core.blob import BlobKey
from proxy.hub.facts import Absent, FileFacts, Listing
from proxy.hub.names import RepoId

APPLICATION: Final = 0x50454E53
"""`PENS`, in the header of the file: nobody else's database is taken for ours."""
VERSION: Final = 2
COMPRESSED_ABOVE: Final = 1024
LARGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes a stored body may unpack to: twice what the origin may send."""

TABLES: Final = """
CREATE TABLE refs (
    repo TEXT NOT NULL, revision TEXT NOT NULL, commit_id TEXT NOT NULL, checked_at REAL NOT NULL,
    PRIMARY KEY (repo, revision)
) WITHOUT ROWID;
CREATE TABLE commits (
    id INTEGER PRIMARY KEY, repo TEXT NOT NULL, commit_id TEXT NOT NULL, used INTEGER NOT NULL,
    UNIQUE (repo, commit_id)
);
CREATE INDEX commits_by_use ON commits (used);
CREATE TABLE resolutions (
    commit_row INTEGER NOT NULL, path TEXT NOT NULL, etag BLOB, size INTEGER NOT NULL, blob_key TEXT, xet BLOB,
    PRIMARY KEY (commit_row, path)
) WITHOUT ROWID;
CREATE INDEX resolutions_by_xet ON resolutions (commit_row, xet) WHERE xet IS NOT NULL;
CREATE INDEX xet_by_size ON resolutions (commit_row, size, xet) WHERE xet IS NOT NULL;
CREATE TABLE listings (
    id INTEGER PRIMARY KEY, repo TEXT NOT NULL, text TEXT NOT NULL, status INTEGER NOT NULL, headers BLOB NOT NULL,
    body BLOB NOT NULL, packed INTEGER NOT NULL, stored_at REAL NOT NULL, immutable INTEGER NOT NULL,
    used INTEGER NOT NULL, UNIQUE (repo, text)
);
CREATE INDEX listings_by_use ON listings (used);
CREATE TABLE publicity (
    repo TEXT NOT NULL, plane TEXT NOT NULL, seen_at REAL NOT NULL, PRIMARY KEY (repo, plane)
) WITHOUT ROWID;
CREATE TABLE totals (name TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO totals VALUES ('resolutions', 0), ('listings', 0), ('listing bytes', 0), ('forgets', 0);
CREATE TRIGGER resolution_added AFTER INSERT ON resolutions BEGIN
    UPDATE totals SET amount = amount + 1 WHERE name = 'resolutions';
END;
CREATE TRIGGER resolution_removed AFTER DELETE ON resolutions BEGIN
    UPDATE totals SET amount = amount - 1 WHERE name = 'resolutions';
END;
CREATE TRIGGER listing_added AFTER INSERT ON listings BEGIN
    UPDATE totals SET amount = amount + 1 WHERE name = 'listings';
    UPDATE totals SET amount = amount + length(new.body) WHERE name = 'listing bytes';
END;
CREATE TRIGGER listing_replaced AFTER UPDATE OF body ON listings BEGIN
    UPDATE totals SET amount = amount + length(new.body) - length(old.body) WHERE name = 'listing bytes';
END;
CREATE TRIGGER listing_removed AFTER DELETE ON listings BEGIN
    UPDATE totals SET amount = amount - 1 WHERE name = 'listings';
    UPDATE totals SET amount = amount - length(old.body) WHERE name = 'listing bytes';
END;
"""

ADDED: Final = """
CREATE TABLE IF NOT EXISTS responses (
    place BLOB NOT NULL, selecting TEXT NOT NULL, origin TEXT NOT NULL, target TEXT NOT NULL, head BLOB NOT NULL,
    received_at REAL NOT NULL, PRIMARY KEY (place, selecting)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS responses_by_age ON responses (received_at);
CREATE INDEX IF NOT EXISTS responses_by_target ON responses (origin, target);
INSERT OR IGNORE INTO totals VALUES ('responses', 0);
CREATE TRIGGER IF NOT EXISTS response_added AFTER INSERT ON responses BEGIN
    UPDATE totals SET amount = amount + 1 WHERE name = 'responses';
END;
CREATE TRIGGER IF NOT EXISTS response_removed AFTER DELETE ON responses BEGIN
    UPDATE totals SET amount = amount - 1 WHERE name = 'responses';
END;
CREATE TABLE IF NOT EXISTS response_tags (
    tag TEXT NOT NULL, place BLOB NOT NULL, selecting TEXT NOT NULL, PRIMARY KEY (tag, place, selecting)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS response_tags_by_response ON response_tags (place, selecting);
CREATE TRIGGER IF NOT EXISTS response_untagged AFTER DELETE ON responses BEGIN
    DELETE FROM response_tags WHERE place = old.place AND selecting = old.selecting;
END;
CREATE TABLE IF NOT EXISTS purges (
    origin TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL, soft INTEGER NOT NULL,
    PRIMARY KEY (origin, kind, text, soft)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS purges_by_time ON purges (origin, at);
CREATE TABLE IF NOT EXISTS forgotten (
    repo TEXT NOT NULL, commit_id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (repo, commit_id)
) WITHOUT ROWID;
"""
"""Tables that came later, made where they are missing: what is kept in the others stays."""

SELECT_REF: Final = "SELECT commit_id, checked_at FROM refs WHERE repo = ? AND revision = ?"
SELECT_RESOLUTION: Final = (
    "SELECT r.etag, r.size, r.blob_key, r.xet, c.used FROM commits c JOIN resolutions r ON r.commit_row = c.id "
    "WHERE c.repo = ? AND c.commit_id = ? AND r.path = ?"
)
SELECT_BY_XET: Final = (
    "SELECT r.path FROM commits c JOIN resolutions r ON r.commit_row = c.id "
    "WHERE c.repo = ? AND c.commit_id = ? AND r.xet = ? LIMIT 1"
)
SELECT_XET_ABOVE: Final = (
    "SELECT r.path, r.xet FROM commits c JOIN resolutions r ON r.commit_row = c.id "
    "WHERE c.repo = ? AND c.commit_id = ? AND r.xet IS NOT NULL AND r.size > ? LIMIT ?"
)
SELECT_LISTING: Final = (
    "SELECT status, headers, body, packed, stored_at, immutable, used FROM listings WHERE repo = ? AND text = ?"
)
SELECT_PUBLICITY: Final = "SELECT seen_at FROM publicity WHERE repo = ? AND plane = ?"
SELECT_FORGOTTEN: Final = "SELECT at FROM forgotten WHERE repo = ? AND commit_id = ?"
SELECT_TOTAL: Final = "SELECT amount FROM totals WHERE name = ?"

ResolutionRow = tuple[bytes | None, int, str | None, bytes | None]
ListingRow = tuple[int, bytes, bytes, int, float, int]


def repo_text(repo: RepoId) -> str:
    """The repo as the tables spell it: `models/org/name`; the kind is always there, so that no two spell alike."""
    return f"{repo.kind.value}/{repo.name}"


def purge_row(key: BlobKey, at: float) -> tuple[str, str]:
    """One purge of a blob, as the table `forgotten` spells it: no repo begins like a key."""
    return str(key), repr(at)


def resolution_row(facts: FileFacts | Absent) -> ResolutionRow:
    """Etag, size, key, Xet hash."""
    if isinstance(facts, Absent):
        return None, 0, None, None
    key = None if facts.key is None else str(facts.key)
    return bytes.fromhex(facts.etag), facts.size, key, None if facts.xet is None else bytes.fromhex(facts.xet)


def resolution(row: ResolutionRow, commit: str) -> FileFacts | Absent:
    """What `resolution_row` made a row of. Raises ValueError when it is none."""
    etag, size, key, xet = row
    if etag is None:
        return Absent(commit)
    blob = None if key is None else BlobKey.parse(key)
    return FileFacts(etag.hex(), size, len(etag) == 32, blob, None if xet is None else xet.hex())


def listing_row(listing: Listing) -> ListingRow:
    """Status, headers, body, whether it is packed, time, whether immutable."""
    packed = len(listing.body) > COMPRESSED_ABOVE
    body = zlib.compress(listing.body, 1) if packed else listing.body
    return listing.status, orjson.dumps(listing.headers), body, packed, listing.stored_at, listing.immutable


def listing(row: ListingRow) -> Listing:
    """What `listing_row` made a row of. Raises ValueError when it is none."""
    status, headers, body, packed, stored_at, immutable = row
    fields = tuple((str(name), str(value)) for name, value in orjson.loads(headers))
    return Listing(status, fields, _unpacked(body) if packed else bytes(body), stored_at, bool(immutable))


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(body, LARGEST_BODY)
    except zlib.error as error:
        raise ValueError(f"a stored listing is damaged: {error}") from None
    if not unpacker.eof:
        raise ValueError("a stored listing is damaged: it has no end")
    return content
