"""What the node has: `ls`, `du` and `info`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from pydantic import Field

from proxy.catalogue.survey import RepoSummary, Survey
from proxy.core.blob import BlobKey
from proxy.hub.facts import FileFacts
from proxy.hub.names import RepoId, Revision
from proxy.service.doctor import repo_named
from proxy.store.blobstore import BlobStore
from proxy.store.inventory import Entry

from .asked import FilesAsked, KeyText
from .choice import Choice
from .shape import Asked, Refused, Told

MOST: Final = 1000
"""Repos or files told at once."""
T = TypeVar("T")


class ReposAsked(Asked):
    """Repos that the node knows files of."""

    match: str | None = Field(None, description="Only repos whose name matches this glob.", max_length=250)
    after: str = Field("", description="Go on after this one: `next` of the answer before.", max_length=300)
    limit: int = Field(200, ge=1, le=MOST)


class RepoTold(Told):
    """A repo in the inventory."""

    repo: str
    commits: int = Field(description="Commits of which files are known.")
    files: int = Field(description="Files known, over all commits.")
    bytes: int = Field(description="What these files have together.")
    here: int = Field(description="Bytes of them that are on the disks; what several share counts once.")
    pinned: bool = Field(description="Whether any pin names it.")
    used: datetime = Field(description="When it was last asked for, to the hour.")


class ReposTold(Told):
    """Repos in the order of their names."""

    repos: list[RepoTold]
    next: str | None = Field(description="What to ask for as `after` to go on; null at the end.")


class InfoAsked(FilesAsked):
    """A repo at a revision, and which of its files."""

    after: str = Field("", description="Go on after this path: `next` of the answer before.", max_length=2000)
    limit: int = Field(MOST, ge=1, le=MOST)


class FileTold(Told):
    """A file of a repo."""

    path: str
    size: int
    here: int = Field(description="Bytes of it that are on the disks.")
    etag: str
    key: str | None = Field(description="The name its bytes are kept under; null while that is not known.")


class RefTold(Told):
    """A branch or tag as it was last asked for."""

    revision: str
    commit: str
    checked: datetime


class InfoTold(Told):
    """A repo at a commit."""

    repo: str
    revision: str
    commit: str
    public: list[str] = Field(description="On which planes everybody was seen to be allowed.")
    refs: list[RefTold]
    commits: list[str] = Field(description="Commits of which files are known, the last used first.")
    files: list[FileTold]
    next: str | None


class BlobAsked(Asked):
    """One blob."""

    key: KeyText


class BlobTold(Told):
    """Where a blob lies."""

    key: str
    here: int
    disks: dict[str, int] = Field(description="Bytes of it by disk.")


class InventoryDesk:
    """Answers about the inventory, out of the catalogue's survey and the disks' books."""

    def __init__(self, survey: Survey, store: BlobStore, names_pinned: Callable[[], set[str]]) -> None:
        self.survey = survey
        self._store = store
        self._names_pinned = names_pinned

    async def repos(self, asked: ReposAsked) -> ReposTold:
        found: list[RepoTold] = []
        after = asked.after
        pinned = await asyncio.to_thread(self._names_pinned)
        while len(found) < asked.limit:
            batch = await asyncio.to_thread(self.survey.repos, after, MOST)
            if not batch:
                return ReposTold(repos=found, next=None)
            for summary in batch:
                after = f"{summary.repo.kind.value}/{summary.repo.name}"
                if asked.match is None or fnmatchcase(str(summary.repo), asked.match):
                    found.append(await self._told(summary, pinned))
                    if len(found) == asked.limit:
                        break
        return ReposTold(repos=found, next=after)

    async def _told(self, summary: RepoSummary, pinned: set[str]) -> RepoTold:
        return RepoTold(
            repo=str(summary.repo),
            commits=summary.commits,
            files=summary.files,
            bytes=summary.bytes,
            here=await self._here(summary.repo),
            pinned=str(summary.repo) in pinned,
            used=datetime.fromtimestamp(summary.used, UTC),
        )

    async def _here(self, repo: RepoId) -> int:
        """Bytes on the disks of all files of the repo, each blob counted once."""
        seen: set[bytes] = set()
        total = 0
        async for batch in in_batches(lambda: self.survey.files(repo, None)):
            fresh = {entry.pack(): entry for _, _, facts in batch if (entry := entry_of(repo, facts)) is not None}
            new = [entry for name, entry in fresh.items() if name not in seen]
            seen |= fresh.keys()
            total += sum((await self._store.inventory.kept(new)).values())
        return total

    async def info(self, asked: InfoAsked) -> InfoTold:
        repo = repo_named(asked.repo)
        commit = await self.commit_of(repo, asked.revision)
        refs = await asyncio.to_thread(self.survey.refs, repo)
        commits = await asyncio.to_thread(self.survey.commits, repo)
        files = [file async for file in self._files(repo, commit, asked)]
        more = len(files) > asked.limit
        files = files[: asked.limit]
        return InfoTold(
            repo=str(repo),
            revision=asked.revision,
            commit=commit,
            public=sorted(await asyncio.to_thread(self.survey.public_planes, repo)),
            refs=[
                RefTold(revision=name, commit=ref.commit, checked=datetime.fromtimestamp(ref.checked_at, UTC))
                for name, ref in refs.items()
            ],
            commits=[one.commit for one in commits],
            files=files,
            next=files[-1].path if more else None,
        )

    async def _files(self, repo: RepoId, commit: str, asked: InfoAsked) -> AsyncIterator[FileTold]:
        choice, told = Choice(asked.include, asked.exclude), 0
        async for batch in in_batches(lambda: self.survey.files(repo, commit)):
            wanted = [one for one in batch if one[1] > asked.after and choice.takes(one[1])]
            entries = {path: entry_of(repo, facts) for _, path, facts in wanted}
            kept = await self._store.inventory.kept([entry for entry in entries.values() if entry is not None])
            for _, path, facts in wanted:
                entry = entries[path]
                here = 0 if entry is None else kept.get(entry, 0)
                key = None if entry is None else str(entry.key)
                yield FileTold(path=path, size=facts.size, here=here, etag=facts.etag, key=key)
                told += 1
                if told > asked.limit:
                    return

    async def commit_of(self, repo: RepoId, revision: str) -> str:
        """The commit that `revision` was last known to mean, of which files are known. Raises Refused."""
        commits = [one.commit for one in await asyncio.to_thread(self.survey.commits, repo)]
        if not commits:
            raise Refused(404, f"nothing is known of {repo}; fetch it with: penstock warm {repo}")
        refs = await asyncio.to_thread(self.survey.refs, repo)
        commit = revision if Revision(revision).is_commit else ref.commit if (ref := refs.get(revision)) else None
        if commit not in commits:
            known = ", ".join([*refs, *(one[:12] for one in commits[:3])])
            raise Refused(404, f"no files of {repo} are known at {revision}; known are {known}")
        return str(commit)

    async def blob(self, asked: BlobAsked) -> BlobTold:
        disks = await self._store.inventory.where(BlobKey.parse(asked.key))
        if not disks:
            raise Refused(404, f"nothing is kept under {asked.key}")
        return BlobTold(key=asked.key, here=sum(disks.values()), disks=disks)


def repo_at(text: str) -> tuple[RepoId, str]:
    """A repo and the revision meant: `acme/tiny@v1`, or without one `main`."""
    name, _, revision = text.partition("@")
    return repo_named(name), revision or "main"


def entry_of(repo: RepoId, facts: FileFacts) -> Entry | None:
    """Under which name the disks keep the file; None for a small git file that never was here."""
    if facts.size == 0 or (facts.is_small and facts.key is None):
        return None
    return Entry(facts.record(repo).key, small=facts.is_small)


async def in_batches(begin: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """What a blocking iterator gives, each step in a thread."""
    iterator: Iterator[T] = await asyncio.to_thread(begin)
    while (batch := await asyncio.to_thread(next, iterator, None)) is not None:
        yield batch
