"""What one node tells all others of its fleet: that something is no longer as it was. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from proxy.core.blob import BlobKey
from proxy.core.errors import RequestRefused
from proxy.core.purging import Purge, named, which_named
from proxy.core.rights import Plane

from .names import RepoId, RepoKind


@dataclass(frozen=True, slots=True)
class RepoClosed:
    """The origin turned somebody away from the repo on these planes, at `at` (Unix time): it is not for everybody."""

    repo: RepoId
    planes: tuple[Plane, ...]
    at: float


@dataclass(frozen=True, slots=True)
class BlobPurged:
    """At `at` (Unix time) somebody wanted the blob to be gone from all disks."""

    key: BlobKey
    at: float


@dataclass(frozen=True, slots=True)
class ResponsesPurged:
    """Somebody wants responses of a generic origin to be gone, or stale."""

    purge: Purge


@dataclass(frozen=True, slots=True)
class RepoPurged:
    """At `at` (Unix time) somebody wanted nothing to be known of the repo any more: at `commit`, or at all where that
    is None. `soft`: only that whatever may change of it is asked for anew."""

    repo: RepoId
    commit: str | None
    at: float
    soft: bool


Notice = RepoClosed | BlobPurged | ResponsesPurged | RepoPurged


def encoded(notice: Notice) -> bytes:
    match notice:
        case RepoClosed(repo, planes, at):
            return orjson.dumps(["closed", repo.kind.value, repo.name, [plane.value for plane in planes], at])
        case BlobPurged(key, at):
            return orjson.dumps(["purged", str(key), at])
        case ResponsesPurged(purge):
            kind, text = named(purge.which)
            return orjson.dumps(["responses", purge.origin, kind, text, purge.at, purge.soft])
        case RepoPurged(repo, commit, at, soft):
            return orjson.dumps(["repo", repo.kind.value, repo.name, commit, at, soft])
        case _:
            assert_never(notice)


def decoded(content: bytes) -> Notice | None:
    """The notice in `content`; None for what this version does not know."""
    try:
        said: Any = orjson.loads(content)
        match said:
            case ["closed", str(kind), str(name), list(planes), int() | float() as at]:
                return RepoClosed(RepoId(RepoKind(kind), name), tuple(Plane(plane) for plane in planes), float(at))
            case ["purged", str(key), int() | float() as at]:
                return BlobPurged(BlobKey.parse(key), float(at))
            case ["responses", str(origin), str(kind), str(text), int() | float() as at, bool(soft)]:
                return ResponsesPurged(Purge(origin, which_named(kind, text), float(at), soft))
            case ["repo", str(kind), str(name), str() | None as commit, int() | float() as at, bool(soft)]:
                return RepoPurged(RepoId(RepoKind(kind), name), commit, float(at), soft)
    except (ValueError, RequestRefused):
        pass
    return None
