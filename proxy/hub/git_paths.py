"""Where git and git-lfs ask, behind an id that may have `.git` at its end.

    GET  /{p}{id}[.git]/info/refs?service=git-upload-pack     what a clone or fetch asks first
    POST /{p}{id}[.git]/git-upload-pack                       the rest of it
    POST /{p}{id}[.git]/info/lfs/objects/batch                where objects can be had

The same with `git-receive-pack`, and locks, are writes.
"""

from __future__ import annotations

from typing import Final, assert_never

from .ids import repo_of, widths
from .names import RepoId, RepoKind
from .rawtarget import RawTarget
from .targets import GitPack, GitRefs, GitTarget, LfsBatch, WriteCall

UPLOAD_PACK: Final = "git-upload-pack"
"""Git's word for giving: the server's half of clone and fetch."""


def parse(raw: RawTarget, kind: RepoKind, segments: tuple[str, ...]) -> GitTarget | LfsBatch | WriteCall | None:
    """What `segments` (behind the kind's prefix) mean: a read of a repo, or a write; None when neither."""
    for width in widths(kind):
        repo = repo_of(kind, _without_git(segments[:width]), width)
        if repo is not None and (found := _call(raw, repo, segments[width:])) is not None:
            return found
    return None


def render(target: GitTarget) -> str:
    """The raw path and query, as git spells them."""
    match target:
        case GitRefs(repo):
            return f"/{repo}/info/refs?service={UPLOAD_PACK}"
        case GitPack(repo):
            return f"/{repo}/{UPLOAD_PACK}"
        case _:
            assert_never(target)


def _call(raw: RawTarget, repo: RepoId, rest: tuple[str, ...]) -> GitTarget | LfsBatch | WriteCall | None:
    match rest:
        case ("info", "refs") if raw.query == f"service={UPLOAD_PACK}":
            return GitRefs(repo)
        case ("info", "refs") if raw.query == "service=git-receive-pack":
            return WriteCall(raw.text)
        case ("git-upload-pack",) if not raw.query:
            return GitPack(repo)
        case ("info", "lfs", "objects", "batch") if not raw.query:
            return LfsBatch(repo)
        case ("git-receive-pack",) | ("info", "lfs", "locks", *_):
            return WriteCall(raw.text)
        case _:
            return None


def _without_git(segments: tuple[str, ...]) -> tuple[str, ...]:
    return (*segments[:-1], segments[-1].removesuffix(".git")) if segments else segments
