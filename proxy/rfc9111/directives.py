"""Cache-Control and its targeted kin, read as far as they can be read.

A number that is none counts as 0: what cannot be understood makes a response stale, never fresh (RFC 9111 §4.2.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from .fields import Fields, joined, members

LONGEST: Final = 2**31
"""Seconds: a delta is never more (RFC 9111 §1.2.2)."""
TARGETED: Final = "cdn-cache-control"
"""The targeted field that is meant for us (RFC 9213 §3)."""
_DIRECTIVE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\"]*)))?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNREADABLE: Final = "?"
_ITEM: Final = re.compile(
    r"([a-z*][a-z0-9_.*-]*)(?:=(?:(-?[0-9]{1,15})|(-?[0-9]{1,12}\.[0-9]{1,3})|\"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\"\\])*)\""
    r"|([A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)|\?([01])))?(?:; *[a-z*][a-z0-9_.*-]*(?:=[^;,\s]*)?)*"
)
_WHOLE_NUMBERS: Final = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})


@dataclass(frozen=True, slots=True)
class Directives:
    """Names in lower case, each with its argument or None, as they came."""

    given: tuple[tuple[str, str | None], ...] = ()

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.given)

    def argument(self, name: str) -> str | None:
        """The argument of the first `name`."""
        return next((value for key, value in self.given if key == name), None)

    def seconds(self, name: str) -> int | None:
        """The number of the first `name`; None when it is not there, 0 when it is no number."""
        if name not in self:
            return None
        text = self.argument(name) or ""
        if not text.isascii() or not text.isdecimal():
            return 0
        return min(int(text[:20]), LONGEST)

    def is_unqualified(self, name: str) -> bool:
        """Whether `name` is there without a list of field names: for the whole response (RFC 9111 §5.2.2)."""
        return any(key == name and not value for key, value in self.given)

    def listed(self, name: str) -> frozenset[str]:
        """The field names (lower case) that all `name="..."` list; none where one of them lists nothing, which says
        more than any list."""
        if self.is_unqualified(name):
            return frozenset()
        return frozenset(
            field.lower() for key, value in self.given if key == name and value for field in members(value)
        )

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Of a Cache-Control field, request or response."""
        return cls(tuple(found for member in members(text) if (found := _directive(member)) is not None))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a response says of its caching; `targeted`: said to caches like us alone, so that nothing else counts."""

    directives: Directives
    targeted: bool


def policy(response: Fields) -> Policy:
    """The targeted field if it is there and can be read, else Cache-Control (RFC 9213 §2.2)."""
    targeted = _dictionary(joined(response, TARGETED))
    if targeted is not None:
        return Policy(targeted, targeted=True)
    return Policy(Directives.read(joined(response, "cache-control")), targeted=False)


def _directive(member: str) -> tuple[str, str | None] | None:
    match = _DIRECTIVE.fullmatch(member)
    if match is not None:
        quoted, plain = match[2], match[3]
        return match[1].lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
    name = _NAME.match(member)
    return None if name is None else (name[0].lower(), _UNREADABLE)


def _dictionary(text: str | None) -> Directives | None:
    """A structured dictionary (RFC 9651 §3.2) of directives; None when it is empty or not well-formed."""
    if text is None:
        return None
    found: dict[str, str | None] = {}
    for part in text.split(",") if '"' not in text else members(text):
        match = _ITEM.fullmatch(part.strip(" \t"))
        if match is None:
            return None
        name, number, fraction, string, token, truth = match.groups()
        value = next((given for given in (number, string, token) if given is not None), None)
        if name in _WHOLE_NUMBERS and (number is None or number.startswith("-")):
            continue  # of the wrong type: as if it were not there (§2.1)
        if fraction is None and truth != "0":
            found[name] = value
    return Directives(tuple(found.items())) if found else None
