"""What a handler decides: an answer as a value, to be sent by `sending`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from proxy.core.byterange import Ignored, Multi, Single
from proxy.fetch.coordinator import CacheOutcome, Located, LocatedObject, Readable
from proxy.fetch.reading import Piece
from proxy.fetch.web.answers import Held
from proxy.hub.names import FileTarget, ObjectTarget
from proxy.hub.peering import PeerQuestion
from proxy.hub.targets import GitPack

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Small:
    """A whole answer held in memory. `headers` are without framing; `close` ends the connection after it."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    cache: CacheOutcome = CacheOutcome.NONE
    close: bool = False
    plain: bytes | None = None
    """The body before it was compressed, if it was."""


@dataclass(frozen=True, slots=True)
class FileBody:
    """The bytes of a file, to be read from the rooms below."""

    located: Readable


@dataclass(frozen=True, slots=True)
class XorbBody:
    """The bytes of a file as a xorb: the one with number `index`."""

    located: Located
    index: int


@dataclass(frozen=True, slots=True)
class PeerBody:
    """The bytes of a file for another node of the fleet; `hops`: how many nodes its question has come through."""

    question: PeerQuestion
    hops: int

    @property
    def located(self) -> Readable:
        """What is asked for, whoever may read it: the node that asks has seen to that."""
        match self.question.target:
            case FileTarget() as target:
                return Located(target, self.question.facts, CacheOutcome.HIT, age=0)
            case ObjectTarget() as target:
                return LocatedObject(target, self.question.facts, CacheOutcome.HIT, everybody=False)


@dataclass(frozen=True, slots=True)
class PointerText:
    """What git holds of a linked file."""

    content: bytes


@dataclass(frozen=True, slots=True)
class HeldBody:
    """A body that the cache of a generic origin has, or gets. `again` gives another answer, should it be gone."""

    held: Held
    again: Callable[[], Awaitable[Answer]] | None = None


Body = FileBody | XorbBody | PeerBody | PointerText | HeldBody


@dataclass(frozen=True, slots=True)
class FilePart:
    """200 with all `size` bytes of `body` (`Ignored`: no range counts), or 206 with a part of them."""

    body: Body
    size: int
    headers: Headers
    part: Ignored | Single | Multi
    sized: bool = True
    """Whether a HEAD tells the length."""
    status: int = 200
    """Of an answer with all of it."""


@dataclass(frozen=True, slots=True)
class PackRelay:
    """Git's question (`body`, with the `fields` that go along), to be answered by the origin and passed on as it comes.

    A body that has yet to come has `patience` seconds."""

    target: GitPack
    fields: Headers
    body: bytes | AsyncIterator[bytes]
    patience: float


@dataclass(frozen=True, slots=True)
class Flow:
    """An answer whose body is passed on as it comes: `length` bytes, None where nobody knows.

    `begin` opens the body; it is called once, also for an answer without one."""

    status: int
    headers: Headers
    length: int | None
    begin: Callable[[], AbstractAsyncContextManager[AsyncIterator[Piece]]]
    has_body: bool = True


Answer = Small | FilePart | PackRelay | Flow
