"""Header fields of the Hub: what of its answers may be passed on, and what it must not be asked.

Names are lower-case throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from proxy.core.errors import MalformedTarget, OriginLied, RequestRefused

from . import links, paths

Fields = tuple[tuple[str, str], ...]

_XET_MEDIA: Final = "application/vnd.xet-fileinfo"
_PASSED_BACK: Final = frozenset(
    {
        "content-language",
        "content-type",
        "last-modified",
        "link",
        "retry-after",
        "www-authenticate",
        "x-error-code",
        "x-error-message",
        "x-hf-warning",
        "x-repo-commit",
        "x-total-count",
    }
)


def passed_back(headers: Sequence[tuple[str, str]]) -> Fields:
    """Of an answer of the API (names lower-case): the fields that may reach the client, Xet stripped,
    a redirect made relative.

    Its ETag is not among them: that belonged to the body as it was before Xet hints were taken out."""
    kept = [(name, value) for name, value in headers if name in _PASSED_BACK and not leads_to_a_realm(name, value)]
    where = next((there for name, value in headers if name == "location" and (there := here(value))), None)
    return without_xet(kept if where is None else [*kept, ("location", where)])


def leads_to_a_realm(name: str, value: str) -> bool:
    """Whether the field is a challenge whose realm is an address: the origin's own, to which clients would take their
    token."""
    return name == "www-authenticate" and "//" in value


def here(location: str) -> str | None:
    """Where a redirect of the API leads on this mirror: a raw target; None when it is not a place of the Hub's.

    Relative, so that clients stay with us; what leads to a CDN (signed addresses) is not passed on at all.
    """
    try:
        target = links.raw_target(location)
        paths.parse(target, "GET")
    except (OriginLied, MalformedTarget):
        return None
    except RequestRefused:
        return target  # a place of the Hub's that takes another method: a 307 keeps the client's
    return target


def without_xet(headers: Iterable[tuple[str, str]]) -> Fields:
    """`headers` (names lower-case) without X-Xet-* and without Xet relations in Link."""
    kept: list[tuple[str, str]] = []
    for name, value in headers:
        if name.startswith("x-xet-"):
            continue
        rest = links.without_xet(value) if name == "link" else value
        if rest is not None:
            kept.append((name, rest))
    return tuple(kept)


def strip_accept(accept: str) -> str:
    """The Accept field without the Xet description of a file, which would be answered in the file's place."""
    kept = [item.strip() for item in accept.split(",") if not item.strip().lower().startswith(_XET_MEDIA)]
    return ", ".join(filter(None, kept)) or "*/*"
