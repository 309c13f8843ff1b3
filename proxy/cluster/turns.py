"""One question that a node asks for all: what the others told of it, and what it tells them when it is answered.

A `FileTurn` is about what a file is, a `ListingTurn` about a listing; both about the commit of a branch before that.
What is told says itself when it was found, and is taken for no longer than its finder would take it.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, assert_never

import orjson

from proxy.core.clock import Clock
from proxy.core.errors import OriginRefused, SlowDown
from proxy.core.sizes import KIB, MIB
from proxy.hub.facts import Absent, FileFacts, Listing, ListingKey, RefEntry, facts_fields, facts_of
from proxy.hub.names import FileTarget, RepoId, Revision

from .seal import Seal

REF_TTL: Final = 3600.0
FACTS_TTL: Final = 3600.0
"""Seconds. Facts never change; this bounds how much of them Redis holds."""
LISTING_TTL: Final = 600.0
"""Seconds. Who has taken a listing over keeps it by itself."""
REFUSED_FOR: Final = 5.0
BUSY_FOR: Final = 60.0
"""Seconds, at most: the origin's own word, if it is less."""
LARGEST: Final = {"ref": KIB, "facts": 2 * KIB, "listing": 256 * KIB, "refused": 4 * KIB}
"""Bytes of a sealed value, by kind."""
LARGEST_BODY: Final = MIB
"""Bytes of a listing: longer ones would take too long to pack, and each node asks for them itself."""

Read = Callable[[str, str], Awaitable[bytes | None]]
"""Gives what was told of a kind under a name."""
Refusal = OriginRefused | SlowDown
"""What is told of it is not what this node believes of the origin, but what the origin said."""


@dataclass(frozen=True, slots=True)
class Word:
    """Something to be told: `content` of a kind under a sealed name, for `ttl` seconds."""

    kind: str
    name: str
    content: bytes
    ttl: float


class Turn(ABC):
    """What files and listings have in common."""

    def __init__(self, seal: Seal, clock: Clock, repo: RepoId, revision: Revision | None, *about: str) -> None:
        self.name: Final = seal.name("asking", str(repo), *about)
        self.ref: RefEntry | None = None
        self.refusal: Refusal | None = None
        self.told: list[Word] = []
        self.marked = False
        """Whether others may see that we ask."""
        self._seal = seal
        self._clock = clock
        self._repo = repo
        self._revision = revision

    async def look(self, read: Read) -> bool:
        """Take in what others told; whether that answers the question."""
        commit = "" if self._revision is None else self._revision.text
        if self._revision is not None and not self._revision.is_commit:
            self.ref = ref_in(await read("ref", self._ref_name(self._revision)), self._clock.wall())
            if self.ref is None:
                return False
            commit = self.ref.commit
        return await self._look_at(commit, read)

    @abstractmethod
    async def _look_at(self, commit: str, read: Read) -> bool:
        """Take in the thing itself; whether it is told."""

    def tell_ref(self, entry: RefEntry, ttl: float) -> None:
        """The revision means that commit, for `ttl` seconds from when it was asked."""
        assert self._revision is not None, "a branch was asked for"
        if entry != self.ref:
            content = orjson.dumps([entry.commit, entry.checked_at])
            self._tell("ref", self._ref_name(self._revision), content, min(REF_TTL, self._left(entry.checked_at, ttl)))

    def tell_refusal(self, refusal: Refusal) -> None:
        """The origin refuses to answer: whoever waits for us, or asks in the next moments, need not ask for that."""
        match refusal:
            case OriginRefused(status=status, message=message, code=code, commit=commit, headers=headers):
                content = orjson.dumps(["refused", status, message, code, commit, headers])
                self._tell("refused", self.name, content, REFUSED_FOR)
            case SlowDown(retry_after=seconds):
                ttl = min(BUSY_FOR, float(seconds))
                content = orjson.dumps(["busy", str(refusal), self._clock.wall() + ttl])
                self._tell("refused", self.name, content, ttl)
            case _:
                assert_never(refusal)

    def _tell(self, kind: str, name: str, content: bytes, ttl: float) -> None:
        if ttl > 0:
            self.told.append(Word(kind, name, content, ttl))

    def _left(self, since: float, ttl: float) -> float:
        return ttl - max(0.0, self._clock.wall() - since)

    def _ref_name(self, revision: Revision) -> str:
        return self._seal.name("ref", str(self._repo), revision.text)


class FileTurn(Turn):
    """What a file is."""

    def __init__(self, seal: Seal, clock: Clock, target: FileTarget) -> None:
        super().__init__(seal, clock, target.repo, target.revision, "file", target.revision.text, target.path)
        self.facts: FileFacts | Absent | None = None
        self._target = target

    def tell_facts(self, commit: str, facts: FileFacts | Absent) -> None:
        """The file at `commit` is that."""
        if facts != self.facts:
            fields = None if isinstance(facts, Absent) else facts_fields(facts)
            self._tell("facts", self._facts_name(commit), orjson.dumps([commit, fields]), FACTS_TTL)

    async def _look_at(self, commit: str, read: Read) -> bool:
        self.facts = facts_in(await read("facts", self._facts_name(commit)), commit)
        return self.facts is not None

    def _facts_name(self, commit: str) -> str:
        return self._seal.name("facts", str(self._target.repo), commit, self._target.path)


class ListingTurn(Turn):
    """What a listing says. `asked` is the question as it came, `at` what it is called at a commit ("" where it names no
    revision)."""

    def __init__(
        self, seal: Seal, clock: Clock, asked: ListingKey, revision: Revision | None, at: Callable[[str], ListingKey]
    ) -> None:
        super().__init__(seal, clock, asked.repo, revision, "listing", asked.text)
        self.listing: Listing | None = None
        self._at = at

    def tell_listing(self, commit: str, listing: Listing, ttl: float) -> None:
        """The listing at `commit` is that, for `ttl` seconds from when it was stored."""
        if listing != self.listing and len(listing.body) <= LARGEST_BODY:
            left = min(LISTING_TTL, self._left(listing.stored_at, ttl))
            self._tell("listing", self._listing_name(commit), packed(listing), left)

    async def _look_at(self, commit: str, read: Read) -> bool:
        self.listing = listing_in(await read("listing", self._listing_name(commit)), self._clock.wall())
        return self.listing is not None

    def _listing_name(self, commit: str) -> str:
        return self._seal.name("listing", str(self._repo), self._at(commit).text)


# --- what is told, as bytes; None for what none of us wrote -----------------------------------------------------------


def ref_in(content: bytes | None, now: float) -> RefEntry | None:
    match _parsed(content):
        case [str(commit), int() | float() as asked] if Revision(commit).is_commit:
            # a clock that is ahead of ours must not make it true for longer
            return RefEntry(commit, min(float(asked), now))
        case _:
            return None


def facts_in(content: bytes | None, at: str) -> FileFacts | Absent | None:
    match _parsed(content):
        case [str(commit), None] if commit == at:
            return Absent(commit)
        case [str(commit), list(fields)] if commit == at:
            with suppress(ValueError, TypeError, AttributeError):
                return facts_of(fields)
    return None


def refusal_in(content: bytes | None, now: float) -> Refusal | None:
    match _parsed(content):
        case ["refused", int(status), str(message), code, commit, list(headers)] if 400 <= status < 500:
            return OriginRefused(
                status, message, code=_text(code), commit=_text(commit), headers=tuple(map(tuple, headers))
            )
        case ["busy", str(message), int() | float() as until] if until > now:
            return SlowDown(message, round(min(BUSY_FOR, until - now)))
        case _:
            return None


def packed(listing: Listing) -> bytes:
    head = orjson.dumps([listing.status, listing.headers, listing.stored_at, listing.immutable])
    return head + b"\n" + zlib.compress(listing.body, 1)


def listing_in(content: bytes | None, now: float) -> Listing | None:
    head, _, body = (content or b"").partition(b"\n")
    match _parsed(head):
        case [int(status), list(headers), int() | float() as stored_at, bool(immutable)]:
            with suppress(zlib.error):
                unpacked = zlib.decompressobj().decompress(body, LARGEST_BODY)
                return Listing(status, tuple(map(tuple, headers)), unpacked, min(float(stored_at), now), immutable)
    return None


def _text(said: Any) -> str | None:
    return said if isinstance(said, str) else None


def _parsed(content: bytes | None) -> Any:
    with suppress(ValueError):
        return None if content is None else orjson.loads(content)
    return None
