"""The head of an answer, as a value: status and fields, readable without a socket."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.core.errors import OriginLied

LARGEST: Final = 64 * 1024
"""Bytes of all fields of an answer: what is kept of a head is kept for every file."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
_VERSIONS: Final = ((1, 0), (1, 1))
_WEAK_GIT_TAG: Final = re.compile(r'W/"[0-9a-f]{40}"')
_LONGEST_LENGTH: Final = 18
"""Digits: no length beyond 10^18 is meant seriously, and none shorter overflows anything."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status (100 to 599) and fields; names are lower-case, values as they came but for what is no UTF-8."""

    status: int
    fields: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if not 100 <= self.status <= 599:
            raise OriginLied(f"the origin answered with status {self.status}, which does not exist")

    @classmethod
    def of(cls, status: int, fields: Iterable[tuple[str, str]]) -> Head:
        """The fields as they came. Raises OriginLied when a name is none (a blank before the colon hides a field from
        some and not from others, RFC 9112 §5.1), or when they are too many."""
        read = cls(status, tuple((name.lower(), _clean(value)) for name, value in fields))
        if sum(len(name) + len(value) for name, value in read.fields) > LARGEST:
            raise OriginLied(f"the head of the origin's answer is longer than {LARGEST} bytes")
        if not all(_NAME.fullmatch(name) for name, _ in read.fields):
            raise OriginLied("the origin's answer has a field whose name is none")
        return read

    def framed_as(self, version: tuple[int, int]) -> None:
        """Raises OriginLied when the body's end could be told in two ways, or in none that is known here (RFC 9112
        §6.1); for a change of protocol, too, which nobody here asks for."""
        if self.status < 200:
            raise OriginLied(f"the origin ended its answer with the interim status {self.status}")
        if version not in _VERSIONS:
            raise OriginLied("the origin answered in a version of HTTP that is not spoken here")
        codings = [value.strip().lower() for key, value in self.fields if key == "transfer-encoding"]
        if codings and (codings != ["chunked"] or version < (1, 1)):
            raise OriginLied("the origin's answer has a transfer coding that is not known here")

    def first(self, name: str) -> str | None:
        """The first value of the field; for those that decide nothing."""
        return next((value for key, value in self.fields if key == name), None)

    def one(self, name: str) -> str | None:
        """The value of a field that decides something. Raises OriginLied when it is there twice with two values."""
        values = {value.strip() for key, value in self.fields if key == name}
        if len(values) > 1:
            raise OriginLied(f"the origin's answer has two different {name} fields")
        return values.pop() if values else None

    def length(self, name: str = "content-length") -> int | None:
        """The value of a field that is a number of bytes. Raises OriginLied when it is none."""
        text = self.one(name)
        if text is None:
            return None
        if not text.isascii() or not text.isdecimal() or len(text) > _LONGEST_LENGTH:
            raise OriginLied(f"the origin's {name} is no number of bytes")
        return int(text)

    def strong_tag(self, name: str = "etag") -> str | None:
        """The opaque tag of a strong validator, without its quotes. Raises OriginLied when it is weak or no tag."""
        text = self.one(name)
        if text is None:
            return None
        if text.startswith("W/"):
            raise OriginLied(f"the origin's {name} is weak: it does not vouch for bytes")
        if len(text) < 3 or text[0] != '"' or text[-1] != '"' or '"' in text[1:-1]:
            raise OriginLied(f"the origin's {name} is no quoted validator")
        return text[1:-1]

    def git_tag(self, name: str = "etag") -> str | None:
        """As `strong_tag`, but a weak one will do when it is a git sha1: that proves the bytes whatever is vouched."""
        text = self.one(name)
        if text is not None and _WEAK_GIT_TAG.fullmatch(text):
            return text[3:-1]
        return self.strong_tag(name)

    @property
    def is_encoded(self) -> bool:
        """Whether the body is not the bytes themselves: we ask for identity, so this is a fault."""
        return (self.one("content-encoding") or "identity").lower() != "identity"


def _clean(value: str) -> str:
    """`value` with every byte that was no text made visible as such; ordinary values are given back as they are."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
