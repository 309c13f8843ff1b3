"""Reading a request target of the Hub, on the raw path: `%2F` in a revision is not a slash (HUB-PROTOCOL §6.1-6.4)."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from .messages import Kind
from .repo import RepoKind

COMMIT = re.compile(r"[0-9a-f]{40}")
_PATH_SAFE = "/!$&'()*,;=:@~"
_REPO_PAGES = {
    "revision": Kind.REVISION,
    "tree": Kind.TREE,
    "paths-info": Kind.PATHS_INFO,
    "refs": Kind.REFS,
    "commits": Kind.COMMITS,
    "parquet": Kind.PARQUET,
    "auth-check": Kind.AUTH_CHECK,
    "xet-read-token": Kind.XET_TOKEN,
}
_FILE_PAGES = {"resolve": Kind.RESOLVE, "raw": Kind.RAW}
_RESERVED = frozenset({"buckets", "collections", "jobs", "oauth", "papers", "v2"})
_GIT_PAGES = {
    ("info", "refs"): Kind.GIT_REFS,
    ("git-upload-pack",): Kind.GIT_PACK,
    ("info", "lfs", "objects", "batch"): Kind.LFS_BATCH,
}
_KINDS = {kind.value: kind for kind in RepoKind}


class BadPath(ValueError):
    """The target cannot be decoded, or climbs out of its repo."""


@dataclass(frozen=True, slots=True)
class RepoTarget:
    """A page of one repo: `revision` and `path` are decoded, empty where the page has none."""

    kind: Kind
    repo_kind: RepoKind
    repo_id: str
    revision: str = ""
    path: str = ""

    def renamed(self, raw_path: str, repo_id: str) -> str:
        """The same raw target with another id in the place of this one's."""
        return re.sub(rf"/{re.escape(self.repo_id)}(?=\.git/|[/?]|$)", f"/{repo_id}", raw_path, count=1)


@dataclass(frozen=True, slots=True)
class PlainTarget:
    """A page that belongs to no repo."""

    kind: Kind
    repo_kind: RepoKind | None = None


Target = RepoTarget | PlainTarget


def parse_target(raw_path: str) -> Target:
    """What a raw path (without query) asks for. Raises BadPath."""
    segments = raw_path.lstrip("/").split("/")
    if segments[0] == "v2":
        return _registry_target(segments[1:])
    if segments[0] == "api":
        return _api_target(segments[1:])
    if segments[0] in _KINDS:
        return _file_target(_KINDS[segments[0]], segments[1:])
    if segments[0] in _RESERVED:
        return PlainTarget(Kind.OTHER)
    return _file_target(RepoKind.MODEL, segments)


def quote_path(path: str) -> str:
    return quote(path, safe=_PATH_SAFE)


def quote_segment(text: str) -> str:
    return quote(text, safe="")


def _api_target(segments: list[str]) -> Target:
    match segments:
        case [word] if word in _KINDS:
            return PlainTarget(Kind.LIST, _KINDS[word])
        case ["whoami-v2"]:
            return PlainTarget(Kind.WHOAMI)
        case ["telemetry", *_]:
            return PlainTarget(Kind.TELEMETRY)
        case ["resolve-cache", word, *rest] if word in _KINDS:
            return _resolve_cache_target(_KINDS[word], rest)
        case [word, *rest] if word in _KINDS:
            return _repo_page(_KINDS[word], rest)
    return PlainTarget(Kind.OTHER)


def _repo_page(repo_kind: RepoKind, segments: list[str]) -> Target:
    verb_at = _verb_position(segments, _REPO_PAGES)
    if verb_at is None:
        if len(segments) > 2:
            return PlainTarget(Kind.OTHER)
        return RepoTarget(Kind.INFO, repo_kind, _decoded("/".join(segments)))
    repo_id, verb, rest = "/".join(segments[:verb_at]), segments[verb_at], segments[verb_at + 1 :]
    revision = _decoded(rest[0]) if rest else ""
    return RepoTarget(_REPO_PAGES[verb], repo_kind, _decoded(repo_id), revision, _decoded_path("/".join(rest[1:])))


def _resolve_cache_target(repo_kind: RepoKind, segments: list[str]) -> Target:
    sha_at = 1 if len(segments) > 1 and COMMIT.fullmatch(segments[1]) else 2
    if len(segments) <= sha_at + 1:
        return PlainTarget(Kind.OTHER)
    path = _decoded_path("/".join(segments[sha_at + 1 :]))
    return RepoTarget(Kind.RESOLVE_CACHE, repo_kind, "/".join(segments[:sha_at]), segments[sha_at], path)


def _file_target(repo_kind: RepoKind, segments: list[str]) -> Target:
    for width in (1, 2):
        if (git_page := _GIT_PAGES.get(tuple(segments[width:]))) is not None:
            return RepoTarget(git_page, repo_kind, _decoded("/".join(segments[:width])).removesuffix(".git"))
    verb_at = _verb_position(segments, _FILE_PAGES)
    if verb_at is None or len(segments) < verb_at + 3:
        return PlainTarget(Kind.OTHER)
    path = _decoded_path("/".join(segments[verb_at + 2 :]))
    repo_id = _decoded("/".join(segments[:verb_at]))
    return RepoTarget(_FILE_PAGES[segments[verb_at]], repo_kind, repo_id, _decoded(segments[verb_at + 1]), path)


def _registry_target(segments: list[str]) -> Target:
    """`/v2/{ns}/{name}/manifests/{tag}` and `…/blobs/sha256:{hex}`: models only."""
    match segments:
        case [namespace, name, "manifests", tag]:
            return RepoTarget(Kind.OCI_MANIFEST, RepoKind.MODEL, _decoded(f"{namespace}/{name}"), "main", _decoded(tag))
        case [namespace, name, "blobs", digest]:
            found = _decoded(digest)
            return RepoTarget(Kind.OCI_BLOB, RepoKind.MODEL, _decoded(f"{namespace}/{name}"), "main", found)
    return PlainTarget(Kind.OTHER)


def _verb_position(segments: list[str], verbs: dict[str, Kind]) -> int | None:
    """After two segments of id if a verb stands there, else after one: `gpt2/resolve/…` against
    `acme/tiny/resolve/…`.
    """
    return next((at for at in (2, 1) if len(segments) > at and segments[at] in verbs), None)


def _decoded(raw: str) -> str:
    try:
        return unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise BadPath(f"{raw!r} is not UTF-8") from error


def _decoded_path(raw: str) -> str:
    path = _decoded(raw)
    if ".." in path.split("/") or "\0" in path or "\\" in path:
        raise BadPath(f"{raw!r} is not a path inside a repo")
    return path
