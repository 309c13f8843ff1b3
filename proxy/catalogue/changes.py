"""The writes of the catalogue, as values to be run in a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.rights import Plane
from proxy.hub.facts import Absent, FileFacts, Listing, ListingKey
from proxy.hub.names import FileTarget, RepoId, Revision

from .database import Change
from .schema import SELECT_FORGOTTEN, listing_row, purge_row, repo_text, resolution_row

BATCH: Final = 500
"""Rows dropped in one transaction, so that no other writer waits long."""
FORGOTTEN_FOR: Final = 2 * 86_400.0
"""Seconds for which it is remembered what was to be forgotten: longer than nodes tell one another of it."""


def put_ref(repo: RepoId, revision: Revision, commit: str, checked_at: float) -> Change:
    row = (repo_text(repo), revision.text, commit, checked_at)

    def change(connection: sqlite3.Connection) -> None:
        # Two workers asked at about the same time: the later answer stands, whoever writes first.
        connection.execute(
            "INSERT INTO refs VALUES (?, ?, ?, ?) ON CONFLICT (repo, revision) DO UPDATE SET "
            "commit_id = excluded.commit_id, checked_at = excluded.checked_at WHERE excluded.checked_at >= checked_at",
            row,
        )

    return change


def drop_ref(repo: RepoId, revision: Revision) -> Change:
    row = (repo_text(repo), revision.text)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM refs WHERE repo = ? AND revision = ?", row)

    return change


def put_resolution(target: FileTarget, facts: FileFacts | Absent, hour: int) -> Change:
    repo, commit = repo_text(target.repo), target.revision.text
    etag, size, key, xet = resolution_row(facts)

    def change(connection: sqlite3.Connection) -> None:
        (commit_row,) = connection.execute(
            "INSERT INTO commits (repo, commit_id, used) VALUES (?, ?, ?) "
            "ON CONFLICT (repo, commit_id) DO UPDATE SET used = max(used, excluded.used) RETURNING id",
            (repo, commit, hour),
        ).fetchone()
        # A key or a hash once learnt is not forgotten by a worker that does not know it.
        connection.execute(
            "INSERT INTO resolutions VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (commit_row, path) DO UPDATE SET "
            "blob_key = coalesce(excluded.blob_key, iif(etag IS excluded.etag, blob_key, NULL)), "
            "xet = coalesce(excluded.xet, iif(etag IS excluded.etag, xet, NULL)), "
            "etag = excluded.etag, size = excluded.size",
            (commit_row, target.path, etag, size, key, xet),
        )

    return change


def put_resolutions(files: Sequence[tuple[FileTarget, FileFacts]], hour: int) -> Change:
    """Several at once: one wait, one transaction."""
    each = [put_resolution(target, facts, hour) for target, facts in files]

    def change(connection: sqlite3.Connection) -> None:
        for one in each:
            one(connection)

    return change


def drop_resolution(target: FileTarget) -> Change:
    row = (repo_text(target.repo), target.revision.text, target.path)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM resolutions WHERE commit_row = (SELECT id FROM commits WHERE repo = ? AND commit_id = ?) "
            "AND path = ?",
            row,
        )

    return change


def drop_listings(repo: RepoId, commit: str) -> Change:
    row = (repo_text(repo), commit)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM listings WHERE repo = ? AND instr(text, ?)", row)
        connection.execute("UPDATE totals SET amount = amount + 1 WHERE name = 'forgets'")

    return change


def put_listing(key: ListingKey, listing: Listing, hour: int) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        # Packed here, in the writer's thread: tens of megabytes would hold up the loop.
        row = (repo_text(key.repo), key.text, *listing_row(listing), hour)
        connection.execute(
            "INSERT INTO listings (repo, text, status, headers, body, packed, stored_at, immutable, used) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repo, text) DO UPDATE SET status = excluded.status, "
            "headers = excluded.headers, body = excluded.body, packed = excluded.packed, "
            "stored_at = excluded.stored_at, immutable = excluded.immutable, used = excluded.used "
            "WHERE excluded.stored_at >= stored_at",
            row,
        )

    return change


def put_publicity(repo: RepoId, plane: Plane, seen_at: float) -> Change:
    row = (repo_text(repo), plane.value, seen_at)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO publicity VALUES (?, ?, ?) ON CONFLICT (repo, plane) DO UPDATE SET "
            "seen_at = max(seen_at, excluded.seen_at)",
            row,
        )

    return change


def drop_publicity(repo: RepoId, plane: Plane) -> Change:
    row = (repo_text(repo), plane.value)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM publicity WHERE repo = ? AND plane = ?", row)

    return change


def forget(repo: RepoId) -> Change:
    text = repo_text(repo)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM refs WHERE repo = ?", (text,))
        connection.execute("DELETE FROM listings WHERE repo = ?", (text,))
        connection.execute("DELETE FROM publicity WHERE repo = ?", (text,))
        connection.execute("UPDATE totals SET amount = amount + 1 WHERE name = 'forgets'")

    return change


def make_stale(repo: RepoId, before: float, at: float) -> Change:
    """What may change of `repo` and was confirmed at `before` or earlier, was so at `at` (wall clock), or earlier."""
    row = (at, repo_text(repo), before)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE refs SET checked_at = min(checked_at, ?) WHERE repo = ? AND checked_at <= ?", row)
        connection.execute(
            "UPDATE listings SET stored_at = min(stored_at, ?) WHERE repo = ? AND NOT immutable AND stored_at <= ?", row
        )

    return change


def forget_commits(repo: RepoId, commit: str | None, at: float) -> Change:
    """All that was known of `repo` at a commit (None: any) at `at` (wall clock). Nothing, when that was done before:
    what has been learnt since stays."""
    name = repo_text(repo)

    def change(connection: sqlite3.Connection) -> None:
        known = connection.execute(SELECT_FORGOTTEN, (name, commit or ""))
        done = known.fetchone()
        if done is not None and done[0] >= at:
            return
        connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?)", (name, commit or "", at))
        connection.execute("DELETE FROM forgotten WHERE at < ?", (at - FORGOTTEN_FOR,))
        commits = connection.execute("SELECT commit_id FROM commits WHERE repo = ?", (name,)).fetchall()
        for (one,) in commits:
            if commit in (None, one):
                drop_commit(repo, one)(connection)
        if commit is None:
            connection.execute("DELETE FROM refs WHERE repo = ? AND checked_at <= ?", (name, at))
            connection.execute("DELETE FROM listings WHERE repo = ? AND stored_at <= ?", (name, at))

    return change


def put_purged(key: BlobKey, at: float, now: float) -> Change:
    """The purge of the blob that was ordered at `at` was carried out `now` (both wall clock)."""
    row = (*purge_row(key, at), now)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?)", row)
        connection.execute("DELETE FROM forgotten WHERE at < ?", (now - FORGOTTEN_FOR,))

    return change


def drop_commit(repo: RepoId, commit: str) -> Change:
    """All that is known of `repo` at a commit, and the branches that were there."""
    row = (repo_text(repo), commit)

    def change(connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT id FROM commits WHERE repo = ? AND commit_id = ?", row).fetchone()
        if found is not None:
            connection.execute("DELETE FROM resolutions WHERE commit_row = ?", found)
            connection.execute("DELETE FROM commits WHERE id = ?", found)
        connection.execute("DELETE FROM refs WHERE repo = ? AND commit_id = ?", row)
        connection.execute("DELETE FROM listings WHERE repo = ? AND instr(text, ?)", row)
        connection.execute("UPDATE totals SET amount = amount + 1 WHERE name = 'forgets'")

    return change


def touch_commit(target: FileTarget, hour: int) -> Change:
    row = (hour, repo_text(target.repo), target.revision.text, hour)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE commits SET used = ? WHERE repo = ? AND commit_id = ? AND used < ?", row)

    return change


def touch_listing(key: ListingKey, hour: int) -> Change:
    row = (hour, repo_text(key.repo), key.text, hour)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE listings SET used = ? WHERE repo = ? AND text = ? AND used < ?", row)

    return change


def drop_oldest_listings(connection: sqlite3.Connection) -> None:
    """Some of the listings nobody asked for the longest."""
    connection.execute("DELETE FROM listings WHERE id IN (SELECT id FROM listings ORDER BY used LIMIT ?)", (BATCH,))


def drop_oldest_resolutions(connection: sqlite3.Connection) -> None:
    """All of the commit nobody asked for the longest, or as much of it as one transaction should take."""
    row = connection.execute("SELECT id FROM commits ORDER BY used LIMIT 1").fetchone()
    if row is None:
        return
    connection.execute(
        "DELETE FROM resolutions WHERE commit_row = ? AND path IN "
        "(SELECT path FROM resolutions WHERE commit_row = ? LIMIT ?)",
        (row[0], row[0], BATCH),
    )
    connection.execute(
        "DELETE FROM commits WHERE id = ? AND NOT EXISTS (SELECT 1 FROM resolutions WHERE commit_row = ?)",
        (row[0], row[0]),
    )
