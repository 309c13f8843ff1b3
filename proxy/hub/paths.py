"""Request targets of the Hub: what one means, and how a meaning is spelt.

The grammar (HUB-PROTOCOL §1, §6.1-6.4), on the decoded segments of the raw path:

    /{p}{id}/resolve/{revision}/{path…}      p: "" datasets/ spaces/ kernels/
    /{p}{id}/raw/{revision}/{path…}          id: namespace/name, or one name for models and datasets
    /{p}{id}[.git]/info/refs, …/git-upload-pack, …/info/lfs/objects/batch
    /api/{T}/{id}[/{verb}[/{revision}[/…]]]  T: models datasets spaces kernels
    /__xet/…                                 see object_paths, xet_paths

Only the revision, and a directory of a tree, may hold an encoded slash. A file target that fits the grammar with one
*and* with two segments of id (`/a/resolve/raw/b/c`) is refused; an API target that does is passed on unkept.
A repo that is called like a verb of the API (`acme/refs`) is out of reach there: the verb wins.
"""

from __future__ import annotations

from typing import Final, assert_never
from urllib.parse import quote

from proxy.core.errors import MalformedTarget, RequestRefused

from . import git_paths, object_paths, queries, xet_paths
from .ids import repo_of, widths
from .names import FileTarget, RepoId, RepoKind, Revision
from .rawtarget import RawTarget
from .targets import (
    AuthCheck,
    Commits,
    GitPack,
    GitRefs,
    LfsBatch,
    LfsObject,
    OciBlob,
    OciManifest,
    OciPing,
    OciToken,
    OtherApi,
    PathsInfo,
    RawFile,
    Refs,
    RepoInfo,
    ResolveFile,
    Target,
    Tree,
    WhoAmI,
    WriteCall,
    XetReconstruction,
    XetTelemetry,
    XetToken,
    XetXorb,
)

FILE_VERBS: Final = frozenset({"resolve", "raw"})
# fmt: off
API_VERBS: Final = frozenset(
    {
        "auth-check", "branch", "commit", "commits", "compare", "discussions", "lfs-files", "likers", "notebook",
        "parquet", "paths-info", "preupload", "refs", "resource-group", "revision", "safetensors-metadata", "scan",
        "settings", "super-squash", "tag", "tree", "treesize", "user-access-request", "xet-read-token",
        "xet-write-token",
    }
)
# fmt: on
"""What may stand after an id in `/api/{T}/{id}/…`; most of it is passed on."""

# fmt: off
RESERVED: Final = frozenset(
    {
        "__lfs", "__xet", "api", "v2", "buckets", "papers", "collections", "jobs", "oauth", "models", "datasets",
        "spaces", "kernels",
    }
)
# fmt: on
"""First segments that are no namespace of models."""

_KINDS: Final = {kind.value: kind for kind in RepoKind}
_PREFIXES: Final = {kind.value: kind for kind in RepoKind if kind.prefix}
_READS: Final = frozenset({"GET", "HEAD"})
_WRITES: Final = frozenset({"POST", "PUT", "DELETE", "PATCH"})


class UnknownTarget(MalformedTarget):
    """A well-formed target that nothing here answers to."""


class NotMirrored(UnknownTarget):
    """A part of the Hub that is not served here; the message says where it is to be had."""


def parse(raw_target: str, method: str) -> Target:
    """What the undecoded path and query `raw_target`, asked with `method`, means.

    Raises MalformedTarget (it has no reading, or two), UnknownTarget (no such place), NotMirrored (buckets),
    RequestRefused (wrong method).
    """
    raw = RawTarget.read("/v2" if raw_target == "/v2/" else raw_target)  # the one path that ends with a slash
    match raw.segments:
        case (object_paths.LFS | object_paths.REGISTRY, *_):
            return _object(raw, method)
        case ("api", *rest):
            return _api(raw, tuple(rest), method)
        case ("buckets", *_):
            raise no_buckets()
        case (xet_paths.PREFIX, *rest):
            return _xet(raw, tuple(rest), method)
        case (first, *rest) if first in _PREFIXES:
            return _file_plane(raw, _PREFIXES[first], tuple(rest), method)
        case (first, *_) if first not in RESERVED:
            return _file_plane(raw, RepoKind.MODEL, raw.segments, method)
    raise UnknownTarget("there is nothing at this path; files are at /{repo}/resolve/{revision}/{path}")


def no_buckets() -> NotMirrored:
    """A 404 would say that there is no such bucket, or no such file in it: clients believe that."""
    return NotMirrored(
        "this mirror serves no buckets (they are kept in Xet alone); ask the Hub itself (unset HF_ENDPOINT)"
    )


def render(target: Target) -> str:
    """The raw path and query of `target`, encoded as huggingface_hub does it; `parse` reads it back."""
    match target:
        case ResolveFile(file):
            return _render_file(file, "resolve")
        case RawFile(file):
            return _render_file(file, "raw")
        case RepoInfo(repo, revision, query):
            verb = "" if revision is None else f"/revision/{_segment(revision.text)}"
            return f"{_api_base(repo)}{verb}{queries.render(query)}"
        case Tree(repo, revision, directory, query):
            below = f"/{_segment(directory)}" if directory else ""
            return f"{_api_base(repo)}/tree/{_segment(revision.text)}{below}{queries.render(query)}"
        case PathsInfo(repo, revision):
            return f"{_api_base(repo)}/paths-info/{_segment(revision.text)}"
        case Refs(repo, query):
            return f"{_api_base(repo)}/refs{queries.render(query)}"
        case Commits(repo, revision, query):
            return f"{_api_base(repo)}/commits/{_segment(revision.text)}{queries.render(query)}"
        case AuthCheck(repo):
            return f"{_api_base(repo)}/auth-check"
        case XetToken(repo, revision):
            return f"{_api_base(repo)}/xet-read-token/{_segment(revision.text)}"
        case WhoAmI():
            return "/api/whoami-v2"
        case XetReconstruction() | XetXorb() | XetTelemetry():
            return xet_paths.render(target)
        case WriteCall(raw_target) | OtherApi(raw_target, _):
            return raw_target
        case GitRefs() | GitPack():
            return git_paths.render(target)
        case LfsBatch() | LfsObject() | OciPing() | OciToken() | OciManifest() | OciBlob():
            return object_paths.render(target)
        case _:
            assert_never(target)


def _xet(raw: RawTarget, rest: tuple[str, ...], method: str) -> Target:
    found = xet_paths.parse(raw, rest, method)
    if found is None:
        raise UnknownTarget("there is nothing at this address of Xet")
    return found


def _render_file(file: FileTarget, verb: str) -> str:
    return f"/{file.repo}/{verb}/{_segment(file.revision.text)}/{quote(file.path, safe='/')}"


def _api_base(repo: RepoId) -> str:
    return f"/api/{repo.kind.value}/{repo.name}"


def _segment(text: str) -> str:
    return quote(text, safe="")


# --- files --------------------------------------------------------------------------------------------------------


def _file_plane(raw: RawTarget, kind: RepoKind, segments: tuple[str, ...], method: str) -> Target:
    files = [_file(kind, segments, width) for width in widths(kind)]
    readings = [found for found in (*files, git_paths.parse(raw, kind, segments)) if found is not None]
    if len(readings) > 1:
        raise MalformedTarget("this path names two different things, depending on how it is read")
    if not readings:
        raise UnknownTarget("there is nothing at this path; files are at /{repo}/resolve/{revision}/{path}")
    match readings[0]:
        case ResolveFile() | RawFile() | GitRefs() if method not in _READS:
            raise RequestRefused(f"{method} is not for files; GET and HEAD are")
        case GitPack() | LfsBatch() if method != "POST":
            raise RequestRefused(f"{method} is not for this; git POSTs to it")
    return readings[0]


def _file(kind: RepoKind, segments: tuple[str, ...], width: int) -> ResolveFile | RawFile | None:
    """The file meant when the id has `width` segments; None when that does not fit. A query on it changes no byte
    (`download=true` asks for a Content-Disposition) and is left out."""
    repo = repo_of(kind, segments[:width], width)
    if repo is None or len(segments) < width + 3 or segments[width] not in FILE_VERBS:
        return None
    verb, revision, *path = segments[width:]
    if any("/" in segment for segment in path):
        raise MalformedTarget("the path holds an encoded slash (%2F); write the slash itself")
    file = FileTarget(repo, Revision(revision), "/".join(path))
    return ResolveFile(file) if verb == "resolve" else RawFile(file)


def _object(raw: RawTarget, method: str) -> Target:
    found = object_paths.parse(raw)
    if found is None:
        raise UnknownTarget("there is nothing at this path; the registry has /v2/{namespace}/{name}/manifests/{tag}")
    if method not in _READS:
        raise RequestRefused(f"{method} is not for objects; GET and HEAD are")
    return found


# --- the API ------------------------------------------------------------------------------------------------------


def _api(raw: RawTarget, segments: tuple[str, ...], method: str) -> Target:
    if segments[:1] == ("buckets",):
        raise no_buckets()
    meant = _api_call(raw, segments)
    if isinstance(meant, PathsInfo):
        return _paths_info(meant, raw, method)
    if method in _READS:
        return meant
    if method in _WRITES:
        return WriteCall(raw.text)
    raise RequestRefused(f"{method} is not for the API; GET and HEAD are")


def _paths_info(meant: PathsInfo, raw: RawTarget, method: str) -> Target:
    """The one read that is a POST."""
    if method == "POST":
        return OtherApi(raw.text, meant.repo) if raw.query else meant
    if method in _READS:
        return OtherApi(raw.text, meant.repo)
    if method in _WRITES:
        return WriteCall(raw.text)
    raise RequestRefused(f"{method} is not for the API; GET and HEAD are")


def _api_call(raw: RawTarget, segments: tuple[str, ...]) -> Target:
    match segments:
        case ("whoami-v2",) if not raw.query:
            return WhoAmI()
        case ("repos", *_):
            return WriteCall(raw.text)
        case (word, _, *_) if word in _KINDS:
            return _repo_call(raw, _KINDS[word], segments[1:])
    return OtherApi(raw.text, None)


def _repo_call(raw: RawTarget, kind: RepoKind, rest: tuple[str, ...]) -> Target:
    verb_at = [width for width in widths(kind) if len(rest) > width and rest[width] in API_VERBS]
    if len(verb_at) > 1:
        return OtherApi(raw.text, None)
    width = verb_at[0] if verb_at else min(len(rest), 2)
    repo = repo_of(kind, rest[:width], width) if width in widths(kind) else None
    if repo is None:
        return OtherApi(raw.text, None)
    call = _call(raw, repo, rest[width:])
    return OtherApi(raw.text, repo) if call is None else call


def _call(raw: RawTarget, repo: RepoId, rest: tuple[str, ...]) -> Target | None:
    """The call that `rest` of the path and the query make; None when it is none that we know whole."""
    match rest:
        case ():
            query = queries.normalise(raw.query, queries.INFO)
            return None if query is None else RepoInfo(repo, None, query)
        case ("revision", revision):
            query = queries.normalise(raw.query, queries.INFO)
            return None if query is None else RepoInfo(repo, Revision(revision), query)
        case ("tree", revision, *directories):
            query = queries.normalise(raw.query, queries.TREE)
            return None if query is None else Tree(repo, Revision(revision), "/".join(directories), query)
        case ("refs",):
            query = queries.normalise(raw.query, queries.REFS)
            return None if query is None else Refs(repo, query)
        case ("commits", revision):
            query = queries.normalise(raw.query, queries.COMMITS)
            return None if query is None else Commits(repo, Revision(revision), query)
        case ("paths-info", revision):
            return PathsInfo(repo, Revision(revision))
        case ("auth-check",) if not raw.query:
            return AuthCheck(repo)
        case ("xet-read-token", revision):
            return XetToken(repo, Revision(revision))
        case ("xet-write-token", *_):
            return WriteCall(raw.text)
        case _:
            return None
