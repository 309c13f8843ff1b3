"""Where a generic origin's targets are, and what its answers call them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, urlsplit

from proxy.fetch.web.cache import WebCache

from .answers import FilePart, Flow, Headers, Small

_REFERENCES: Final = frozenset({"location", "content-location"})
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Mount:
    """The targets under `prefix` ("" is all of them) are those of the origin at `base`."""

    prefix: str
    base: str
    cache: WebCache

    def seen(self, answer: Small | FilePart | Flow) -> Small | FilePart | Flow:
        """`answer` with the addresses in its head as clients of the mount have to read them."""
        if not self.prefix or not any(name.lower() in _REFERENCES for name, _ in answer.headers):
            return answer
        headers: Headers = tuple(
            (name, moved(text, self.base, self.prefix) if name.lower() in _REFERENCES else text)
            for name, text in answer.headers
        )
        return replace(answer, headers=headers)


def moved(reference: str, base: str, prefix: str) -> str:
    """What `reference`, said by the origin at `base`, is to a client that knows `base` as `prefix`. Pure.

    A relative one means the same on both sides. One below `base` is below `prefix`. Any other is the origin's own
    place, or another site's: its whole address. Only the same scheme is the same site: an origin that sends clients
    from http to https would else send them in a circle."""
    own = urlsplit(base)
    try:
        parts = urlsplit(reference)
        is_own = not parts.netloc or _site(parts, own.scheme) == _site(own, own.scheme)
    except ValueError:
        return reference
    if not parts.netloc and (parts.scheme or not reference.startswith("/")):
        return reference
    if not is_own:
        return reference if parts.scheme else f"{own.scheme}:{reference}"
    rest = reference.partition("//")[2][len(parts.netloc) :] if parts.netloc else reference
    below = rest.removeprefix(own.path)
    if rest.startswith(own.path) and below[:1] in ("", "/", "?", "#"):
        return f"{prefix}{below}" if below.startswith("/") else f"{prefix}/{below}"
    return f"{own.scheme}://{own.netloc}{rest}"


def _site(parts: SplitResult, scheme: str) -> tuple[str, str | None, int | None]:
    """Raises ValueError for a port that is none."""
    scheme = parts.scheme or scheme
    return scheme, parts.hostname, parts.port or _PORTS.get(scheme)
