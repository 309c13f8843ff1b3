"""Metadata answers: cleaned of Xet, read for what they say by the way, and the questions that ask for them.

What a listing says about files at a commit is as good as a HEAD of each: a listed file needs none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from proxy.core.blob import BlobKey
from proxy.core.errors import MalformedTarget, OriginLied, RequestRefused

from . import headers, links
from .facts import FileFacts, Listing, OriginReply, xet_hash
from .headers import Fields
from .rawtarget import check_segment
from .targets import Query

MOST_PATHS: Final = 10_000
"""Paths in one paths-info request: ten pages of a tree."""

_XET_NAME: Final = re.compile(r"xet(?:[A-Z]\w*)?|casUrl|refreshUrl|reconstructionUrl")
_XET_WORDS: Final = (b"xet", b"casUrl", b"refreshUrl", b"reconstructionUrl")
_AUTHORS_WORDS: Final = frozenset({"cardData", "config"})
"""Members whose content is the repo author's, not the Hub's."""

_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST: Final = 10**18


# --- keeping ------------------------------------------------------------------------------------------------------


def kept(reply: OriginReply, now: float, *, immutable: bool = False) -> Listing:
    """`reply` as it may be kept and passed on: allow-listed fields, no Xet. `now` is wall-clock seconds.

    Raises OriginLied when it says it is JSON and is not.
    """
    is_json = "json" in (reply.header("content-type") or "").lower()
    body = without_xet(reply.body) if is_json else reply.body
    return Listing(reply.status, headers.passed_back(reply.headers), body, now, immutable)


def without_xet(body: bytes) -> bytes:
    """The JSON `body` without members that tell clients to use Xet (`xetHash` of tree items, siblings and the like).

    As it came when there are none. Raises OriginLied when it is no JSON, or nested so deeply that nobody means it.
    """
    if not any(word in body for word in _XET_WORDS):
        return body
    try:
        return _spelt(_cleaned(_parsed(body)))
    except RecursionError:
        raise _too_deep() from None


def with_xet(body: bytes, hashes: Mapping[str, str]) -> bytes:
    """The stripped answer `body` to Tree or PathsInfo with `xetHash` put back at the files of `hashes` (by path)."""
    items = _parsed(body)
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("lfs") is not None and (found := hashes.get(item.get("path", ""))):
            item["xetHash"] = found
    return _spelt(items)


def next_target(fields: Fields) -> str | None:
    """The raw path and query of the page after the one with these fields (lower-case names). Raises OriginLied."""
    return links.next_target(", ".join(value for name, value in fields if name == "link"))


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InfoFacts:
    """What an info answer says about the repo: None where it does not say."""

    commit: str | None
    private: bool | None
    gated: bool | None
    disabled: bool | None

    @property
    def is_public(self) -> bool:
        """Whether it says outright that anybody may read the files."""
        return self.private is False and self.gated is False and not self.disabled


def read_info(body: bytes) -> InfoFacts:
    """The facts in an answer to RepoInfo; with `expand` many are missing. Raises OriginLied when it is no object."""
    info = _parsed(body)
    if not isinstance(info, dict):
        raise OriginLied("the origin's description of a repo is no JSON object")
    commit = info.get("sha")
    is_commit = isinstance(commit, str) and _SHA1.fullmatch(commit)
    gated = info.get("gated")  # false, "auto" or "manual"
    return InfoFacts(
        commit if is_commit else None,
        _flag(info.get("private")),
        True if isinstance(gated, str) else _flag(gated),
        _flag(info.get("disabled")),
    )


def read_files(body: bytes) -> list[tuple[str, FileFacts]]:
    """Path and facts of each file in an answer to Tree or PathsInfo. Items that are incomplete, or of no file, are
    left out. Raises OriginLied when it is no list."""
    items = _parsed(body)
    if not isinstance(items, list):
        raise OriginLied("the origin's listing is no JSON list")
    return list(_files(items))


def read_tip(query: Query, body: bytes) -> str | None:
    """The commit that a history begins with, if this is its first page: what its revision means now."""
    if "p" in dict(query):
        return None
    history = _parsed(body)
    first = history[0] if isinstance(history, list) and history else None
    tip = first.get("id") if isinstance(first, dict) else None
    return tip if isinstance(tip, str) and _SHA1.fullmatch(tip) else None


def _files(items: list[Any]) -> Iterator[tuple[str, FileFacts]]:
    for item in items:
        if not isinstance(item, dict) or item.get("type") != "file" or not _is_path(item.get("path")):
            continue
        facts = _linked_facts(item["lfs"], item.get("xetHash")) if item.get("lfs") is not None else _git_facts(item)
        if facts is not None and facts.can_be:
            yield item["path"], facts


def _linked_facts(lfs: object, xet: object) -> FileFacts | None:
    oid, size = (lfs.get("oid"), _size(lfs.get("size"))) if isinstance(lfs, dict) else (None, None)
    if not isinstance(oid, str) or not _SHA256.fullmatch(oid) or size is None:
        return None
    return FileFacts(oid, size, linked=True, key=BlobKey.sha256(oid), xet=xet_hash(xet))


def _git_facts(item: dict[str, Any]) -> FileFacts | None:
    """A file with `xetHash` and without `lfs` lies outside git too, and its sha256 is not told: not a git file."""
    oid, size = item.get("oid"), _size(item.get("size"))
    if not isinstance(oid, str) or not _SHA1.fullmatch(oid) or size is None or item.get("xetHash"):
        return None
    return FileFacts(oid, size, linked=False, key=None)


# --- paths-info ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PathsAsked:
    """What a paths-info request asks: a set of paths, sorted, and whether it wants commits and scans too."""

    paths: tuple[str, ...]
    expand: bool

    @property
    def body(self) -> bytes:
        """The one JSON spelling of the question: body of the request to the origin, and part of the listing's key."""
        return orjson.dumps({"paths": self.paths, "expand": self.expand})


def read_paths_asked(content_type: str | None, body: bytes) -> PathsAsked:
    """What the body of a paths-info request asks, form-encoded (Python) or JSON (JavaScript).

    Raises RequestRefused, saying why, when it asks for nothing or for something else.
    """
    is_json = "json" in (content_type or "").lower() or body.lstrip()[:1] == b"{"
    said = _json_members(body) if is_json else _form_members(body)
    if strange := sorted(said.keys() - {"paths", "expand"}):
        raise RequestRefused(f"paths-info takes paths and expand, not {strange[0][:40]!r}")
    paths, expand = said.get("paths"), said.get("expand", False)
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise RequestRefused("paths-info takes a list of paths")
    if len(paths) > MOST_PATHS:
        raise RequestRefused(f"paths-info takes at most {MOST_PATHS} paths at once; ask in parts")
    if not isinstance(expand, bool):
        raise RequestRefused("expand is true or false")
    return PathsAsked(tuple(sorted(set(paths))), expand)


def asks_expanded(body: bytes) -> bool:
    """Whether a `PathsAsked.body` wants commits and scans, which change at a fixed commit."""
    return orjson.loads(body)["expand"] is True


def _json_members(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("the body is not the JSON it is said to be") from None
    if not isinstance(said, dict):
        raise RequestRefused("the body is no JSON object")
    return said


def _form_members(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_PATHS + 2)
    except ValueError:
        raise RequestRefused(f"the body is no form in UTF-8 of at most {MOST_PATHS} paths") from None
    said: dict[str, Any] = {name: value for name, value in pairs if name != "paths"}
    said["paths"] = [value for name, value in pairs if name == "paths"]
    if "expand" in said:
        said["expand"] = {"true": True, "1": True, "false": False, "0": False}.get(said["expand"].lower())
    return said


# --- JSON ---------------------------------------------------------------------------------------------------------


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise OriginLied("the origin's answer is not the JSON it is said to be") from None


def _spelt(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise _too_deep() from None


def _too_deep() -> OriginLied:
    return OriginLied("the origin's answer is nested beyond all measure")


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: member if name in _AUTHORS_WORDS else _cleaned(member)
        for name, member in value.items()
        if not _XET_NAME.fullmatch(name)
    }


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST else None


def _is_path(value: object) -> bool:
    """Whether `value` is a path that a request could spell: what cannot be asked for is not worth knowing."""
    if not isinstance(value, str):
        return False
    try:
        check_segment(value)
    except MalformedTarget:
        return False
    return True
