"""The Hub's nouns: a repo, a revision, a file at a revision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class RepoKind(Enum):
    """The type of a repo, as the API spells it in `/api/{type}/…`."""

    MODEL = "models"
    DATASET = "datasets"
    SPACE = "spaces"
    KERNEL = "kernels"

    @property
    def prefix(self) -> str:
        """What stands before the id in a file URL: "" for models, else "datasets/" and so on."""
        return "" if self is RepoKind.MODEL else f"{self.value}/"


@dataclass(frozen=True, slots=True)
class RepoId:
    """A repo: its kind and its id, `namespace/name` or, for old canonical ones, a single `name` (decoded)."""

    kind: RepoKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.prefix}{self.name}"


@dataclass(frozen=True, slots=True)
class Revision:
    """A branch, tag, `refs/pr/N`, short or full commit, or "HEAD" (decoded); only a full commit is immutable."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_commit(self) -> bool:
        return _COMMIT.fullmatch(self.text) is not None


class Counter(Enum):
    """Over which of its counters the origin hands out an object."""

    LFS = "lfs"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class ObjectTarget:
    """An object of a repo by its digest, wherever in it that stands, or nowhere but in the registry."""

    repo: RepoId
    sha256: str
    counter: Counter

    @property
    def path(self) -> str:
        """What stands for a name in logs."""
        return self.sha256


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A file of a repo at a revision. `path` is decoded, relative, and holds no empty, `.` or `..` segment."""

    repo: RepoId
    revision: Revision
    path: str

    def at(self, commit: str) -> FileTarget:
        """The same file at `commit` (40 hexadecimal digits)."""
        return FileTarget(self.repo, Revision(commit), self.path)
