"""The catalogue looked over as a whole, for its operator: every repo, every file. A second door of the room.

It blocks, on a connection of its own that only reads, and is for threads: a look over millions of rows must not hold up
the loop. What the state disk could not take yet (see `state_disk`) is not seen.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.hub.facts import FileFacts, Listing, RefEntry
from proxy.hub.names import RepoId, RepoKind

from . import schema
from .catalogue import HOUR
from .database import FILE, open_reader

BATCH: Final = 500
"""Files given at a time."""


@dataclass(frozen=True, slots=True)
class RepoSummary:
    """What is known of a repo: commits, files of all of them, bytes of those together (as the Hub counts), and when it
    was last asked for (wall clock, to the hour)."""

    repo: RepoId
    commits: int
    files: int
    bytes: int
    used: float


@dataclass(frozen=True, slots=True)
class CommitSummary:
    """A commit of which files are known."""

    commit: str
    files: int
    bytes: int
    used: float


class Survey:
    """Over the catalogue in `folder`. Every method raises OSError, sqlite3.Error when the file cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def repos(self, after: str, limit: int) -> list[RepoSummary]:
        """Repos in the order of their names (`models/acme/tiny`), those after `after`, at most `limit`."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT c.repo, count(DISTINCT c.id), count(r.etag), total(iif(r.etag IS NULL, 0, r.size)), "
                "max(c.used) FROM commits c LEFT JOIN resolutions r ON r.commit_row = c.id WHERE c.repo IN "
                "(SELECT DISTINCT repo FROM commits WHERE repo > ? ORDER BY repo LIMIT ?) "
                "GROUP BY c.repo ORDER BY c.repo",
                (after, limit),
            )
            return [RepoSummary(repo_of(row[0]), row[1], row[2], int(row[3]), row[4] * HOUR) for row in rows]

    def commits(self, repo: RepoId) -> list[CommitSummary]:
        """The commits of `repo`, the last used first."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT c.commit_id, count(r.etag), total(iif(r.etag IS NULL, 0, r.size)), max(c.used) FROM commits c "
                "LEFT JOIN resolutions r ON r.commit_row = c.id WHERE c.repo = ? GROUP BY c.id "
                "ORDER BY c.used DESC, c.id DESC",
                (schema.repo_text(repo),),
            )
            return [CommitSummary(row[0], row[1], int(row[2]), row[3] * HOUR) for row in rows]

    def refs(self, repo: RepoId) -> dict[str, RefEntry]:
        """Where the branches and tags of `repo` pointed when they were last asked for."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT revision, commit_id, checked_at FROM refs WHERE repo = ? ORDER BY revision",
                (schema.repo_text(repo),),
            )
            return {row[0]: RefEntry(row[1], row[2]) for row in rows}

    def files(self, repo: RepoId, commit: str | None) -> Iterator[list[tuple[str, str, FileFacts]]]:
        """(commit, path, facts) of every file of `repo`, at `commit` if one is given; some at a time."""
        statement = (
            "SELECT c.commit_id, r.path, r.etag, r.size, r.blob_key, r.xet FROM commits c "
            "JOIN resolutions r ON r.commit_row = c.id WHERE c.repo = ? AND (? IS NULL OR c.commit_id = ?) "
            "AND r.etag IS NOT NULL ORDER BY c.id, r.path"
        )
        yield from self._facts(statement, (schema.repo_text(repo), commit, commit))

    def other_files(self, repo: RepoId, commits: Sequence[str]) -> Iterator[list[tuple[RepoId, str, FileFacts]]]:
        """(repo, path, facts) of every file that is not of `repo` at one of `commits`; some at a time."""
        marks = ",".join("?" * len(commits))
        statement = (
            "SELECT c.repo, r.path, r.etag, r.size, r.blob_key, r.xet FROM commits c "
            f"JOIN resolutions r ON r.commit_row = c.id WHERE NOT (c.repo = ? AND c.commit_id IN ({marks})) "
            "AND r.etag IS NOT NULL"
        )
        for batch in self._facts(statement, (schema.repo_text(repo), *commits)):
            yield [(repo_of(text), path, facts) for text, path, facts in batch]

    def listings(self, repo: RepoId) -> Iterator[tuple[str, Listing]]:
        """Every kept answer about `repo`, with the text of its key."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT text, status, headers, body, packed, stored_at, immutable FROM listings WHERE repo = ?",
                (schema.repo_text(repo),),
            )
            for text, *row in rows:
                with contextlib.suppress(ValueError):
                    yield text, schema.listing((row[0], row[1], row[2], row[3], row[4], row[5]))

    def public_planes(self, repo: RepoId) -> dict[str, float]:
        """On which planes an anonymous caller was seen to be allowed, and when."""
        with self._reader() as reader:
            rows = reader.execute("SELECT plane, seen_at FROM publicity WHERE repo = ?", (schema.repo_text(repo),))
            return dict(rows.fetchall())

    def _facts(self, statement: str, values: tuple[Any, ...]) -> Iterator[list[tuple[str, str, FileFacts]]]:
        with self._reader() as reader:
            rows = reader.execute(statement, values)
            while batch := rows.fetchmany(BATCH):
                found = ((first, path, schema.resolution((etag, *rest), "")) for first, path, etag, *rest in batch)
                yield [(first, path, facts) for first, path, facts in found if isinstance(facts, FileFacts)]

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        if not (self._folder / FILE).exists():  # the state disk failed at the start: nothing is on it
            raise OSError(f"there is no catalogue in {self._folder}")
        with contextlib.closing(open_reader(self._folder)) as reader:
            reader.execute("PRAGMA busy_timeout = 5000")
            yield reader


def repo_of(text: str) -> RepoId:
    """The repo that `schema.repo_text` spelled."""
    kind, _, name = text.partition("/")
    return RepoId(RepoKind(kind), name)
