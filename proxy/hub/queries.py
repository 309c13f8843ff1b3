"""Query strings, normalised: one spelling for all that mean the same, so that equal questions share an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final
from urllib.parse import quote

from .rawtarget import decode
from .targets import Query


class Takes(Enum):
    """What a parameter takes."""

    FLAG = auto()
    """1, true, 0 or false; said once. False is the default and means the same as nothing."""
    TEXT = auto()
    """Anything, said once."""
    NAMES = auto()
    """Names, said as often as wanted; neither their order nor a repetition matters."""


Parameters = Mapping[str, Takes]

INFO: Final[Parameters] = {"blobs": Takes.FLAG, "securityStatus": Takes.FLAG, "expand": Takes.NAMES}
TREE: Final[Parameters] = {
    "recursive": Takes.FLAG,
    "expand": Takes.FLAG,
    "cursor": Takes.TEXT,
    "limit": Takes.TEXT,
}
REFS: Final[Parameters] = {"include_prs": Takes.FLAG}
COMMITS: Final[Parameters] = {"p": Takes.TEXT, "limit": Takes.TEXT, "expand[]": Takes.NAMES}

_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})


def pairs(raw_query: str) -> list[tuple[str, str]]:
    """The decoded name-value pairs of an undecoded query, in order. Raises MalformedTarget."""
    found = []
    for piece in filter(None, raw_query.split("&")):
        name, _, value = piece.replace("+", " ").partition("=")  # a plus is a space in a query, though not in a path
        found.append((decode(name), decode(value)))
    return found


def normalise(raw_query: str, known: Parameters) -> Query | None:
    """The query as `known` parameters, sorted, raised flags as "true", others left out; None when it says anything
    else, or says it twice.

    Raises MalformedTarget when it cannot be decoded.
    """
    said = pairs(raw_query)
    if any(name not in known for name, _ in said):
        return None
    counts = Counter(name for name, _ in said)
    if any(count > 1 and known[name] is not Takes.NAMES for name, count in counts.items()):
        return None
    flags = [value for name, value in said if known[name] is Takes.FLAG]
    if not _TRUE.union(_FALSE).issuperset(flags):
        return None
    return tuple(sorted({pair for name, value in said if (pair := _folded(name, value, known[name]))}))


def render(query: Query) -> str:
    """`?name=value&…`, percent-encoded; empty for no parameters."""
    if not query:
        return ""
    return "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)


def _folded(name: str, value: str, takes: Takes) -> tuple[str, str] | None:
    if takes is not Takes.FLAG:
        return name, value
    return (name, "true") if value in _TRUE else None
