"""The file plane: `resolve` redirects, `resolve-cache` delivers small files, `raw` shows what git holds (HUB-PROTOCOL
§2.2).
"""

import gzip
import mimetypes
from urllib.parse import quote

from . import problems, ranges
from .messages import Answer, Asked, Headers, Whole, json_answer, redirect, whole_answer
from .paths import RepoTarget, quote_path
from .repo import Commit, File, GitFile, LfsFile, Repo
from .site import Site, UrlTerms

_VARY = {
    "vary": "Origin, Accept",
    "access-control-expose-headers": "X-Repo-Commit,X-Linked-Size,X-Linked-ETag,X-Xet-Hash",
}
_XET_FILE_INFO = "application/vnd.xet-fileinfo+json"


def resolve(site: Site, asked: Asked, repo: Repo, target: RepoTarget, terms: UrlTerms) -> Answer:
    """The first hop: 307 to `resolve-cache` for a git file, 302 to the CDN for a large one, 304 when the caller has
    it.
    """
    commit = commit_of(repo, target.revision)
    file = _file(commit, target.path)
    etag = file.oid if isinstance(file, GitFile) else file.blob.sha256
    if ranges.lists_tag(asked.headers.get("if-none-match"), etag):
        return Answer(304, {"etag": f'"{etag}"', "x-repo-commit": commit.id, **_VARY})
    if isinstance(file, GitFile):
        headers = {"x-repo-commit": commit.id, "accept-ranges": "bytes", **_VARY}
        return redirect(307, _resolve_cache_location(asked, repo, commit, target.path, file), headers)
    headers = _linked_headers(site, repo, commit, file)
    if site.xet and _XET_FILE_INFO in asked.headers.get("accept", ""):
        return _xet_file_info(site, repo, commit, file, headers)
    return redirect(302, site.signer.mint(site.cdn_url, file.blob, target.path.rpartition("/")[2], terms), headers)


def resolve_cache(asked: Asked, repo: Repo, target: RepoTarget) -> Answer:
    """A small file itself; gzip without a length when the caller takes it, as upstream does."""
    commit = commit_of(repo, target.revision)
    file = _file(commit, target.path)
    if isinstance(file, LfsFile):
        raise problems.no_such_entry(commit.id)
    headers = {
        "etag": f'"{file.oid}"',
        "x-repo-commit": commit.id,
        "content-type": _content_type(target.path),
        "content-disposition": f"inline; filename*=UTF-8''{quote(target.path.rpartition('/')[2])}",
        "accept-ranges": "bytes",
        "vary": "Origin, Accept, Accept-Encoding",
    }
    if ranges.lists_tag(asked.headers.get("if-none-match"), file.oid):
        return Answer(304, headers)
    if asked.method == "GET" and "range" not in asked.headers and _takes_gzip(asked) and file.content:
        return Answer(200, {**headers, "content-encoding": "gzip"}, Whole(gzip.compress(file.content, 1)))
    return _sliced(asked, file.content, headers)


def raw(asked: Asked, repo: Repo, target: RepoTarget) -> Answer:
    """What git holds at a path: the file, or the pointer of a large one."""
    commit = commit_of(repo, target.revision)
    file = _file(commit, target.path)
    content = file.content if isinstance(file, GitFile) else file.pointer
    headers = {"etag": f'"{file.oid}"', "x-repo-commit": commit.id, "accept-ranges": "bytes", **_VARY}
    if ranges.lists_tag(asked.headers.get("if-none-match"), file.oid):
        return Answer(304, headers)
    return _sliced(asked, content, {**headers, "content-type": "text/plain; charset=utf-8"})


def commit_of(repo: Repo, revision: str) -> Commit:
    commit_id = repo.find(revision)
    if commit_id is None:
        raise problems.no_such_revision(revision)
    return repo.commits[commit_id]


def xet_token_url(site: Site, repo: Repo, commit: Commit) -> str:
    return f"{site.hub_url}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.id}"


def _file(commit: Commit, path: str) -> File:
    file = commit.files.get(path)
    if file is None:
        raise problems.no_such_entry(commit.id)
    return file


def _resolve_cache_location(asked: Asked, repo: Repo, commit: Commit, path: str, file: GitFile) -> str:
    came_from = quote(asked.path, safe="")
    return f"/api/resolve-cache/{repo.kind}/{repo.id}/{commit.id}/{quote_path(path)}?{came_from}=&etag=%22{file.oid}%22"


def _linked_headers(site: Site, repo: Repo, commit: Commit, file: LfsFile) -> dict[str, str]:
    headers = {
        "x-repo-commit": commit.id,
        "x-linked-etag": f'"{file.blob.sha256}"',
        "x-linked-size": str(file.size),
        "accept-ranges": "bytes",
        **_VARY,
    }
    if site.xet:
        auth = f'<{xet_token_url(site, repo, commit)}>; rel="xet-auth"'
        reconstruction = f'<{site.cas_url}/v1/reconstructions/{file.xet_hash}>; rel="xet-reconstruction-info"'
        headers |= {"x-xet-hash": file.xet_hash, "link": f"{auth}, {reconstruction}"}
    return headers


def _xet_file_info(site: Site, repo: Repo, commit: Commit, file: LfsFile, headers: Headers) -> Answer:
    facts = {
        "hash": file.xet_hash,
        "size": file.size,
        "etag": f'"{file.blob.sha256}"',
        "refreshUrl": xet_token_url(site, repo, commit),
        "reconstructionUrl": f"{site.cas_url}/v1/reconstructions/{file.xet_hash}",
    }
    return json_answer(facts, headers={**headers, "content-type": _XET_FILE_INFO})


def _sliced(asked: Asked, content: bytes, headers: Headers) -> Answer:
    header = asked.headers.get("range") if _range_stands(asked, headers["etag"]) else None
    try:
        part = ranges.wanted(header, len(content))
    except ranges.Unsatisfiable:
        return whole_answer(b"", "text/plain", status=416, headers={"content-range": f"bytes */{len(content)}"})
    if part is None:
        return whole_answer(content, headers["content-type"], headers=headers)
    content_range = {"content-range": f"bytes {part.start}-{part.stop - 1}/{len(content)}"}
    sized = {**content_range, "content-length": str(part.stop - part.start)}
    return Answer(206, {**headers, **sized}, Whole(content[part.start : part.stop], part.start))


def _range_stands(asked: Asked, etag: str) -> bool:
    guard = asked.headers.get("if-range")
    return guard is None or guard == etag


def _takes_gzip(asked: Asked) -> bool:
    codings = (coding.strip() for coding in asked.headers.get("accept-encoding", "").split(","))
    return any(coding.partition(";")[0] == "gzip" and not coding.endswith("q=0") for coding in codings)


def _content_type(path: str) -> str:
    guessed = mimetypes.guess_type(path)[0] or "text/plain"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
