"""What a client must receive: a file of the synthetic Hub at a commit, as an expectation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from bench.hub.content import Blob, BytesBlob
from bench.hub.repo import GitFile, LfsFile, Repo


@dataclass(frozen=True)
class Expected:
    """A file as it is at a commit. `etag` is without quotes."""

    repo: str
    prefix: str
    commit: str
    path: str
    etag: str
    blob: Blob
    linked: bool

    @property
    def size(self) -> int:
        return self.blob.size

    @cached_property
    def sha256(self) -> str:
        return self.blob.sha256

    def target(self, revision: str | None = None) -> str:
        """The raw target of `resolve`, at the commit unless another revision is named."""
        return f"/{self.prefix}{self.repo}/resolve/{quote(revision or self.commit, safe='')}/{quote(self.path)}"

    def differs(self, offset: int, received: bytes) -> int | None:
        """The offset in the file of the first byte of `received` that is wrong; None when all are right."""
        wanted = self.blob.read(offset, len(received))
        if wanted == received:
            return None
        pairs = enumerate(zip(wanted, received, strict=False))
        return next((offset + at for at, (right, got) in pairs if right != got), offset + len(wanted))


def expected(repo: Repo, path: str, revision: str = "main") -> Expected:
    """The file at a path, as the Hub has it now. Raises KeyError."""
    commit = repo.head(revision)
    file = repo.commits[commit].files[path]
    match file:
        case GitFile():
            return Expected(repo.id, repo.kind.prefix, commit, path, file.oid, BytesBlob(file.content), False)
        case LfsFile():
            return Expected(repo.id, repo.kind.prefix, commit, path, file.blob.sha256, file.blob, True)


def all_files(repo: Repo, revision: str = "main") -> Iterator[Expected]:
    for path in repo.commits[repo.head(revision)].files:
        yield expected(repo, path, revision)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
