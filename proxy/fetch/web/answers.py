"""What the cache of a generic origin is asked, and what it answers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from proxy.core.spans import Span
from proxy.fetch.coordinator import CacheOutcome, Reading
from proxy.rfc9111.fields import Fields, joined
from proxy.rfc9111.stored import StoredResponse

from .ports import Interim, WebAnswer


@dataclass(frozen=True, slots=True)
class WebRequest:
    """A request to a generic origin. `target` is path and query as the origin is to see them, `fields` have names in
    lower case, `version` is that of the client's message, `site` what the client calls us (host and port)."""

    method: str
    target: str
    fields: Fields
    version: str = "1.1"
    site: str = ""
    from_peer: bool = False
    """Whether another node asks: the origin is asked by us then, whoever we think should."""
    is_behind: bool = False
    """Whether its client has a stale answer already, so that a fresh one is worth waiting for."""
    interim: Interim | None = field(default=None, compare=False, repr=False)
    """Who hears of the interim answers to it."""

    def field(self, name: str) -> str | None:
        return joined(self.fields, name)


class Held(Protocol):
    """A body that is kept, or comes."""

    @property
    def size(self) -> int | None:
        """Bytes; None while nobody knows."""
        ...

    async def completed(self) -> int:
        """The size, as soon as it is known. Raises what keeps it from that."""
        ...

    def open(self, span: Span | None) -> AbstractAsyncContextManager[Reading]:
        """Read `span` (not empty; None: all, however many bytes). Entering waits for nothing that is not needed."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Answer with `stored`: its conditions and ranges are judged here, not at the origin.

    `age` in seconds; `told` are the parameters of Cache-Status; `confirmed`: the origin has just said that it holds;
    `fresh_for`: seconds for which it may be served without asking anybody, told of a hit."""

    stored: StoredResponse
    body: Held
    age: float
    outcome: CacheOutcome
    told: str
    confirmed: bool
    fresh_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Passed:
    """Answer with what the origin says, as it comes; whoever gets it closes `answer`."""

    answer: WebAnswer
    told: str


@dataclass(frozen=True, slots=True)
class Told:
    """Answer with an error that the origin gave to all who waited for it."""

    status: int
    fields: Fields
    body: bytes
    told: str


WebReply = Kept | Passed | Told
