"""What an operator wants to be gone of what is kept of a generic origin, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from .errors import RequestRefused

LONGEST: Final = 16 * 1024
"""Characters of a target, or of a tag."""


@dataclass(frozen=True, slots=True)
class ThisTarget:
    """Every response to one target (path and query)."""

    target: str


@dataclass(frozen=True, slots=True)
class Below:
    """Every response to targets that begin so."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """Every response that the origin has given this tag (Surrogate-Key, Cache-Tag)."""

    tag: str


Which = ThisTarget | Below | Tagged


def named(which: Which) -> tuple[str, str]:
    """Kind and text of `which`, to be written down."""
    match which:
        case ThisTarget(text):
            return "target", text
        case Below(text):
            return "below", text
        case Tagged(text):
            return "tag", text
        case _:
            assert_never(which)


def which_named(kind: str, text: str) -> Which:
    """What `named` wrote. Raises ValueError."""
    match kind:
        case "target":
            return ThisTarget(text)
        case "below":
            return Below(text)
        case "tag":
            return Tagged(text)
    raise ValueError(f"nothing is purged by {kind!r}")


@dataclass(frozen=True, slots=True)
class Purge:
    """Responses of `origin` that were asked for no later than `at` (Unix time) are to be gone; if `soft`, they are
    stale from then on instead, and serve where a stale one may."""

    origin: str
    which: Which
    at: float
    soft: bool

    def __post_init__(self) -> None:
        match self.which:
            case ThisTarget(text) | Below(text):
                is_right = text.startswith("/") and text.isascii() and text.isprintable()
            case Tagged(text):
                is_right = bool(text) and text.isprintable() and not text.isspace()
            case _:
                assert_never(self.which)
        if not is_right or len(text) > LONGEST:
            raise RequestRefused("a target begins with a slash and is visible ASCII; a tag is a word")

    def covers(self, target: str, tags: frozenset[str], requested_at: float) -> bool:
        """Whether a response to `target` with these tags, asked for at that time, is meant."""
        if requested_at > self.at:
            return False
        match self.which:
            case ThisTarget(named):
                return target == named
            case Below(prefix):
                return target.startswith(prefix)
            case Tagged(tag):
                return tag in tags
            case _:
                assert_never(self.which)
