"""The Link field (RFC 8288), and what the Hub puts into it: the next page, and where to find Xet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from proxy.core.errors import MalformedTarget, OriginLied

from .rawtarget import RawTarget

_LINK: Final = re.compile(r'\s*<([^<>]*)>((?:\s*;\s*[\w!#$&+\-.^`|~*]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*)\s*(?:,|$)')
_REL: Final = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """One link: an absolute or relative address, and its relation types, lower-case."""

    address: str
    rels: tuple[str, ...]


def parse_links(field: str) -> tuple[Link, ...]:
    """The links of a Link field, up to the first thing that is none."""
    links = []
    at = 0
    while at < len(field) and (match := _LINK.match(field, at)):
        rel = _REL.search(match[2])
        names = (rel[1] or rel[2] or "") if rel else ""
        links.append(Link(match[1], tuple(names.lower().split())))
        at = match.end()
    return tuple(links)


def format_links(links: tuple[Link, ...]) -> str:
    """A Link field; quotes and the blank after the semicolon are what huggingface.js insists on."""
    return ", ".join(f'<{link.address}>; rel="{" ".join(link.rels)}"' for link in links)


def without_xet(field: str) -> str | None:
    """The Link field without its Xet relations; None when nothing is left."""
    kept = tuple(link for link in parse_links(field) if not any(rel.startswith("xet") for rel in link.rels))
    return format_links(kept) or None


def next_target(field: str | None) -> str | None:
    """The raw path and query of the page after this one, from a Link field of the Hub; None when this is the last.

    The host does not matter: the next page is asked of the origin where this one came from, whatever it calls itself.
    Raises OriginLied when the address cannot be read: to drop it would be to serve a listing with a hole.
    """
    address = next((link.address for link in parse_links(field or "") if "next" in link.rels), None)
    return None if address is None else raw_target(address)


def raw_target(address: str) -> str:
    """The raw path and query of an absolute or relative address. Raises OriginLied when it cannot be read."""
    try:
        parts = urlsplit(address)
        return RawTarget.read(parts.path + (f"?{parts.query}" if parts.query else "")).text
    except (ValueError, MalformedTarget) as why:
        raise OriginLied(f"the origin links to an address that cannot be read: {why}") from why
