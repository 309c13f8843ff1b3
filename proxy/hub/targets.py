"""What a request target of the Hub can mean: one type per kind of answer.

`paths.parse` makes them from the raw target, `paths.render` turns them back; `parse(render(t)) == t`.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.secret import Secret

from .names import FileTarget, RepoId, Revision

Query = tuple[tuple[str, str], ...]
"""Decoded name-value pairs: known names only, sorted; a flag that is set is "true", one that is not is left out."""


@dataclass(frozen=True, slots=True)
class ResolveFile:
    """HEAD/GET `/{prefix}{id}/resolve/{revision}/{path}`: the file's bytes."""

    file: FileTarget


@dataclass(frozen=True, slots=True)
class RawFile:
    """HEAD/GET `/{prefix}{id}/raw/{revision}/{path}`: the git blob itself (pointer text for LFS files)."""

    file: FileTarget


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """GET `/api/{type}/{id}` (`revision` None) or `/api/{type}/{id}/revision/{revision}`."""

    repo: RepoId
    revision: Revision | None
    query: Query


@dataclass(frozen=True, slots=True)
class Tree:
    """GET `/api/{type}/{id}/tree/{revision}[/{directory}]`; `directory` is decoded, "" for the root."""

    repo: RepoId
    revision: Revision
    directory: str
    query: Query


@dataclass(frozen=True, slots=True)
class PathsInfo:
    """POST `/api/{type}/{id}/paths-info/{revision}`; the paths asked for are in the body."""

    repo: RepoId
    revision: Revision


@dataclass(frozen=True, slots=True)
class Refs:
    """GET `/api/{type}/{id}/refs`."""

    repo: RepoId
    query: Query


@dataclass(frozen=True, slots=True)
class Commits:
    """GET `/api/{type}/{id}/commits/{revision}`."""

    repo: RepoId
    revision: Revision
    query: Query


@dataclass(frozen=True, slots=True)
class AuthCheck:
    """GET `/api/{type}/{id}/auth-check`."""

    repo: RepoId


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """GET `/api/whoami-v2`."""


@dataclass(frozen=True, slots=True)
class XetToken:
    """GET `/api/{type}/{id}/xet-read-token/{revision}`: where Xet begins."""

    repo: RepoId
    revision: Revision


@dataclass(frozen=True, slots=True)
class XetReconstruction:
    """GET `/__xet/v2/reconstructions/{hash}` and its older spellings: what a range of a file is made of."""

    version: int
    """1 or 2: the form of the answer."""
    file_hash: str


@dataclass(frozen=True, slots=True)
class XetXorb:
    """GET `/__xet/x/{etag}/{index}?t={ticket}`: a xorb of the file with that sha256."""

    etag: str
    index: int
    ticket: Secret


@dataclass(frozen=True, slots=True)
class XetTelemetry:
    """POST `/__xet/v1/telemetry`: what a client tells about itself."""


@dataclass(frozen=True, slots=True)
class WriteCall:
    """A call that would change something at the Hub (commit, preupload, branch, tag, settings, LFS write, …)."""

    raw_target: str


@dataclass(frozen=True, slots=True)
class OtherApi:
    """Any other `/api/…` target: passed through, never kept. `repo` when the target names one."""

    raw_target: str
    repo: RepoId | None


@dataclass(frozen=True, slots=True)
class GitRefs:
    """GET `/{prefix}{id}[.git]/info/refs?service=git-upload-pack`: what git asks first of a clone or fetch."""

    repo: RepoId


@dataclass(frozen=True, slots=True)
class GitPack:
    """POST `/{prefix}{id}[.git]/git-upload-pack`: the rest of a clone or fetch."""

    repo: RepoId


GitTarget = GitRefs | GitPack


@dataclass(frozen=True, slots=True)
class LfsBatch:
    """POST `/{prefix}{id}[.git]/info/lfs/objects/batch`: where some objects of a repo can be had."""

    repo: RepoId


@dataclass(frozen=True, slots=True)
class LfsObject:
    """HEAD/GET `/__lfs/{oid}?t={ticket}`: an object, at the address that a batch gave out."""

    oid: str
    ticket: Secret


@dataclass(frozen=True, slots=True)
class OciPing:
    """GET `/v2/`: is this a registry?"""


@dataclass(frozen=True, slots=True)
class OciToken:
    """GET `/v2/token`: where our Bearer challenge leads to."""


@dataclass(frozen=True, slots=True)
class OciManifest:
    """HEAD/GET `/v2/{namespace}/{name}/manifests/{tag}`."""

    repo: RepoId
    tag: str


@dataclass(frozen=True, slots=True)
class OciBlob:
    """HEAD/GET `/v2/{namespace}/{name}/blobs/sha256:{hex}`; with a `ticket` at the address that such a GET gave out."""

    repo: RepoId
    sha256: str
    ticket: Secret | None = None


LfsTarget = LfsBatch | LfsObject
OciTarget = OciPing | OciToken | OciManifest | OciBlob

RepoListing = RepoInfo | Tree | PathsInfo | Refs | Commits
"""The metadata that is kept."""

XetTarget = XetReconstruction | XetXorb | XetTelemetry

Target = (
    XetTarget
    | ResolveFile
    | RawFile
    | RepoListing
    | AuthCheck
    | WhoAmI
    | XetToken
    | WriteCall
    | OtherApi
    | GitTarget
    | LfsTarget
    | OciTarget
)
