"""Header fields as a value: reading, splitting, leaving away."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

Fields = tuple[tuple[str, str], ...]
"""Names (lower-case where they are ours to compare) and values, in the order in which they came."""

_CONNECTION: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("http2-settings", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization"),
    }
)
"""Fields of one connection, or of one proxy (RFC 9110 §7.6.1, 9111 §3.1)."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MEMBER: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"|")+')


def lowered(fields: Iterable[tuple[str, str]]) -> Fields:
    """The fields with their names in lower case and no white space around their values."""
    return tuple((name.lower(), value.strip(" \t")) for name, value in fields)


def is_text(value: str) -> bool:
    """Whether the bytes of a field were UTF-8; else those that were not are lone surrogates in it."""
    return value.isascii() or not _SURROGATE.search(value)


def values(fields: Fields, name: str) -> list[str]:
    """The values of all lines of `name` (lower case)."""
    return [value for key, value in fields if key == name]


def joined(fields: Fields, name: str) -> str | None:
    """All lines of `name` as one (RFC 9110 §5.3); None when there is none."""
    found = values(fields, name)
    return ", ".join(found) if found else None


def members(text: str | None) -> list[str]:
    """The members of a list field; commas inside quotes part nothing."""
    return [] if text is None else [part for found in _MEMBER.findall(text) if (part := found.strip(" \t"))]


def without(fields: Fields, names: Collection[str]) -> Fields:
    """The fields but for `names` (lower case)."""
    return tuple(field for field in fields if field[0] not in names)


def end_to_end(fields: Fields) -> Fields:
    """What may go on to the next recipient, or into the store: nothing of this one connection."""
    nominated = {name.lower() for name in members(joined(fields, "connection"))}
    return without(fields, _CONNECTION | nominated)
