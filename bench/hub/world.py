"""Everything that exists on the synthetic Hub: repos, users and what the users may read."""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .content import Blob
from .repo import Commit, File, GitFile, LfsFile, Repo, RepoKind, RepoSpec

__all__ = [
    "Blob",
    "Caller",
    "Commit",
    "File",
    "GitFile",
    "LfsFile",
    "Repo",
    "RepoKind",
    "RepoSpec",
    "Standing",
    "User",
    "World",
]


@dataclass(frozen=True, slots=True)
class User:
    name: str
    token: str


class Standing(Enum):
    """Who asks, before any repo is looked at."""

    ANONYMOUS = "anonymous"
    KNOWN = "known"
    BAD_TOKEN = "bad token"


@dataclass(frozen=True, slots=True)
class Caller:
    standing: Standing
    name: str = ""

    @property
    def is_anonymous(self) -> bool:
        return self.standing is Standing.ANONYMOUS


class World:
    """Repos and users. Everything made in it follows from the seed, so two worlds built alike are alike to the byte."""

    def __init__(self, seed: int = 7) -> None:
        self.seed = seed
        self.users: dict[str, User] = {}
        self._repos: dict[tuple[RepoKind, str], Repo] = {}
        self._renamed: dict[tuple[RepoKind, str], str] = {}

    # -- building -------------------------------------------------------------------------------------------------

    def add(self, spec: RepoSpec) -> Repo:
        """Create a repo. Raises ValueError when the id is taken."""
        key = (spec.kind, spec.id)
        if key in self._repos:
            raise ValueError(f"{spec.kind} {spec.id} exists already")
        self._repos[key] = repo = Repo(spec, seed=self.seed)
        return repo

    def add_model(self, repo_id: str, *, private: bool = False, gated: bool = False) -> Repo:
        return self.add(RepoSpec(RepoKind.MODEL, repo_id, private, gated))

    def add_dataset(self, repo_id: str, *, private: bool = False, gated: bool = False) -> Repo:
        return self.add(RepoSpec(RepoKind.DATASET, repo_id, private, gated))

    def add_space(self, repo_id: str, *, private: bool = False, gated: bool = False) -> Repo:
        return self.add(RepoSpec(RepoKind.SPACE, repo_id, private, gated))

    def add_kernel(self, repo_id: str, *, private: bool = False, gated: bool = False) -> Repo:
        return self.add(RepoSpec(RepoKind.KERNEL, repo_id, private, gated))

    def add_folder(self, repo_id: str, folder: Path | str) -> Repo:
        """Serve a real folder as a repo (a model, or `datasets/…`) with one commit."""
        repo = self.add(RepoSpec.parse(repo_id))
        repo.add_folder(folder)
        repo.commit(f"Add {Path(folder).name}")
        return repo

    def add_user(self, name: str, *, token: str) -> User:
        self.users[token] = user = User(name, token)
        return user

    def drop_token(self, token: str) -> None:
        """From now on the token is a bad one."""
        self.users.pop(token, None)

    def rename(self, old: str, new: str, *, kind: RepoKind = RepoKind.MODEL) -> Repo:
        """Give a repo another id; the old one redirects."""
        repo = self._repos.pop((kind, old))
        repo.id = new
        self._repos[kind, new] = repo
        self._renamed[kind, old] = new
        return repo

    def delete(self, repo_id: str, *, kind: RepoKind = RepoKind.MODEL) -> None:
        del self._repos[kind, repo_id]

    # -- asking ---------------------------------------------------------------------------------------------------

    def repo(self, repo_id: str, *, kind: RepoKind = RepoKind.MODEL) -> Repo:
        """The repo with exactly this id. Raises KeyError."""
        return self._repos[kind, repo_id]

    def find(self, kind: RepoKind, repo_id: str) -> Repo | None:
        """The repo meant by an id: itself, renamed since, or spelled in another case (then `repo.id` differs)."""
        seen: set[str] = set()
        while (kind, repo_id) not in self._repos and repo_id not in seen:
            seen.add(repo_id)
            repo_id = self._renamed.get((kind, repo_id)) or self._in_right_case(kind, repo_id)
        return self._repos.get((kind, repo_id))

    def repos(self, kind: RepoKind) -> Iterator[Repo]:
        return (repo for (repo_kind, _), repo in sorted(self._repos.items()) if repo_kind is kind)

    def caller(self, authorization: str | None) -> Caller:
        if authorization is None:
            return Caller(Standing.ANONYMOUS)
        user = self.users.get(_token(authorization))
        return Caller(Standing.BAD_TOKEN) if user is None else Caller(Standing.KNOWN, user.name)

    def may_see(self, caller: Caller, repo: Repo) -> bool:
        """Whether the caller may know that the repo exists and read its metadata."""
        return not repo.private or self._is_granted(caller, repo)

    def may_read(self, caller: Caller, repo: Repo) -> bool:
        """Whether the caller may read the files."""
        return not (repo.private or repo.gated) or self._is_granted(caller, repo)

    def _is_granted(self, caller: Caller, repo: Repo) -> bool:
        if caller.standing is not Standing.KNOWN:
            return False
        return caller.name in repo.granted or repo.id.startswith(f"{caller.name}/")

    def _in_right_case(self, kind: RepoKind, repo_id: str) -> str:
        folded = repo_id.lower()
        known = (known_id for known_kind, known_id in (*self._repos, *self._renamed) if known_kind is kind)
        return next((known_id for known_id in known if known_id.lower() == folded), repo_id)


def _token(authorization: str) -> str:
    """The token of a Bearer field, or of a Basic one, where it is the password (git)."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return credentials.strip()
    try:
        return base64.b64decode(credentials).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
