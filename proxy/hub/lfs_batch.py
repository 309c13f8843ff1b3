"""The batch question of git-lfs, and its answer. Pure. Source: git-lfs, docs/api/batch.md.

POST /{repo}.git/info/lfs/objects/batch
{"operation": "download", "transfers": ["basic"], "objects": [{"oid": …, "size": …}]}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.core.errors import OriginLied, RequestRefused, WritesRefused

MEDIA_TYPE: Final = "application/vnd.git-lfs+json"
MOST_OBJECTS: Final = 2000
"""In one question; git-lfs asks for 100 at a time, configured to at most some hundreds."""
LARGEST: Final = 1 << 50
"""Bytes of an object: no length beyond a PiB is meant seriously."""

_OID: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LfsPointer:
    """An object by what a pointer says of it."""

    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class LfsOffer:
    """Where the origin has an object, and how long it is. `href` is presigned: it is never shown."""

    href: str
    size: int


@dataclass(frozen=True, slots=True)
class LfsMissing:
    """The origin does not give it: a status and words."""

    code: int
    message: str


def read_question(body: bytes) -> tuple[LfsPointer, ...]:
    """The objects a client wants to download. Raises RequestRefused; WritesRefused when it wants to upload."""
    try:
        said: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("the body of an LFS batch request is JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("objects"), list):
        raise RequestRefused("an LFS batch request names its operation and its objects")
    if said.get("operation") == "upload":
        raise WritesRefused("this mirror is read-only; push to the Hub itself")
    if said.get("operation") != "download" or said.get("hash_algo", "sha256") != "sha256":
        raise RequestRefused("LFS objects are downloaded here, by their sha256")
    if len(said["objects"]) > MOST_OBJECTS:
        raise RequestRefused(f"one LFS batch request is for at most {MOST_OBJECTS} objects; ask for fewer at once")
    return tuple(_pointer(one) for one in said["objects"])


def question(objects: Iterable[LfsPointer]) -> bytes:
    """What to ask the origin."""
    asked = [{"oid": one.oid, "size": one.size} for one in objects]
    return orjson.dumps({"operation": "download", "transfers": ["basic"], "objects": asked, "hash_algo": "sha256"})


def read_answer(body: bytes) -> dict[str, LfsOffer | LfsMissing]:
    """What the origin says of each object, by oid. Raises OriginLied."""
    try:
        said = orjson.loads(body)
        return {str(one["oid"]): _offer(one) for one in said["objects"]}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise OriginLied("the origin's answer to an LFS batch request cannot be read") from None


def answer(found: Sequence[tuple[LfsPointer, str | LfsMissing]], expires_in: int) -> bytes:
    """What a client is told: for each object its address here, or why it has none."""
    return orjson.dumps({"transfer": "basic", "objects": [_told(one, fate, expires_in) for one, fate in found]})


def _pointer(said: Any) -> LfsPointer:
    oid, size = (said.get("oid"), said.get("size")) if isinstance(said, dict) else (None, None)
    if not isinstance(oid, str) or not _OID.fullmatch(oid):
        raise RequestRefused("an LFS object is named by 64 hexadecimal digits")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST:
        raise RequestRefused("an LFS object has a size in bytes")
    return LfsPointer(oid, size)


def _offer(said: Any) -> LfsOffer | LfsMissing:
    if (error := said.get("error")) is not None:
        return LfsMissing(int(error["code"]), str(error.get("message", "")))
    download = said.get("actions", {}).get("download")
    if download is None:
        return LfsMissing(404, "the origin does not offer this object for download")
    return LfsOffer(str(download["href"]), int(said["size"]))


def _told(one: LfsPointer, fate: str | LfsMissing, expires_in: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"oid": one.oid, "size": one.size}
    if isinstance(fate, LfsMissing):
        return {**facts, "error": {"code": fate.code, "message": fate.message}}
    # "authenticated": the address is the whole credential, and git-lfs sends no other along
    return {**facts, "authenticated": True, "actions": {"download": {"href": fate, "expires_in": expires_in}}}
