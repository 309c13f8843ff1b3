"""What in an answer would lead a client away from the mirror. Pure.

Clients follow what they are told: a redirect, the next page in a Link, where Xet says the bytes are, an href of LFS,
the realm of a challenge. An absolute address of another host in one of these is a leak: the client leaves, more often
than not with its token (HUB-PROTOCOL §0.5, §2.1). Addresses in what authors wrote lead nobody anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from .links import parse_links


class LeakKind(Enum):
    """Why a client would go there."""

    REDIRECT = "redirect"
    ADDRESS = "address"
    XET = "xet"


@dataclass(frozen=True, slots=True)
class Leak:
    """`where` is the field or member, `to` the address without its query (which may be signed), or "" when the client
    finds its way by itself."""

    kind: LeakKind
    where: str
    to: str


_XET_MEMBERS: Final = frozenset({"casUrl", "refreshUrl", "reconstructionUrl"})
_ADDRESS_MEMBERS: Final = frozenset({"href", "url"})
_HASH_MEMBER: Final = "xetHash"
_TELLTALES: Final = tuple(f'"{name}"'.encode() for name in (*_XET_MEMBERS, _HASH_MEMBER))
_AUTHORS_WORDS: Final = frozenset({"cardData", "config"})
_LFS_MEDIA: Final = "application/vnd.git-lfs+json"
_ABSOLUTE: Final = re.compile(r"(?:https?:)?//[^\s\"'<>;,]+", re.IGNORECASE)
_READ: Final = frozenset({"location", "content-location", "link", "refresh", "www-authenticate"})


def leaks_of_fields(fields: Iterable[tuple[str, str]], home: str | None, *, xet: bool) -> Iterator[Leak]:
    """Leaks of header fields. `home` is the mirror's address for this client (`http://host:port`, no slash at its end),
    `xet` whether the mirror itself offers Xet: then hints that lead home are none."""
    for name, text in fields:
        name = name.lower()
        if name.startswith("x-xet-"):
            leak = _foreign(LeakKind.XET, name, text, home)
            if leak is not None or not xet:
                yield leak or Leak(LeakKind.XET, name, "")
        elif name == "link":
            yield from _of_links(text, home, xet=xet)
        elif name in _READ and "//" in text:
            kind = LeakKind.REDIRECT if "location" in name or name == "refresh" else LeakKind.ADDRESS
            found = _ABSOLUTE.search(text)
            if found is not None and (leak := _foreign(kind, name, found[0], home)) is not None:
                yield leak


def leaks_of_body(content_type: str, body: bytes, home: str | None, *, xet: bool) -> Iterator[Leak]:
    """Leaks of a JSON body; anything else is somebody's bytes. Parsed only if it holds a word that may be one."""
    if "json" not in content_type.lower():
        return
    is_lfs = content_type.lower().startswith(_LFS_MEDIA)
    if not is_lfs and not any(word in body for word in _TELLTALES):
        return
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    yield from _of_json(parsed, home, xet=xet, is_lfs=is_lfs)


def _of_links(text: str, home: str | None, *, xet: bool) -> Iterator[Leak]:
    for link in parse_links(text):
        where = f'link rel="{" ".join(link.rels)}"'
        is_xet = any(rel.startswith("xet") for rel in link.rels)
        leak = _foreign(LeakKind.XET if is_xet else LeakKind.ADDRESS, where, link.address, home)
        if leak is not None:
            yield leak
        elif is_xet and not xet:
            yield Leak(LeakKind.XET, where, "")


def _of_json(value: Any, home: str | None, *, xet: bool, is_lfs: bool) -> Iterator[Leak]:
    if isinstance(value, list):
        for item in value:
            yield from _of_json(item, home, xet=xet, is_lfs=is_lfs)
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        if name in _AUTHORS_WORDS:
            continue
        if name == _HASH_MEMBER and not xet:
            yield Leak(LeakKind.XET, name, "")
        elif isinstance(inner, str) and (name in _XET_MEMBERS or (is_lfs and name in _ADDRESS_MEMBERS)):
            kind = LeakKind.XET if name in _XET_MEMBERS else LeakKind.ADDRESS
            if (leak := _foreign(kind, name, inner, home)) is not None:
                yield leak
        else:
            yield from _of_json(inner, home, xet=xet, is_lfs=is_lfs)


def _foreign(kind: LeakKind, where: str, address: str, home: str | None) -> Leak | None:
    """The leak, if `address` is an absolute one of somebody else."""
    try:
        parts = urlsplit(address)
        base = urlsplit(home or "")
    except ValueError:
        return Leak(kind, where, "an address that cannot be read")
    if not parts.netloc:
        return None
    same_scheme = not parts.scheme or parts.scheme.lower() == base.scheme.lower()
    if same_scheme and parts.netloc.lower() == base.netloc.lower():
        return None
    host = parts.netloc.rpartition("@")[2]
    return Leak(kind, where, f"{parts.scheme or base.scheme}://{host}{parts.path}")
