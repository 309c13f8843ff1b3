"""The generic origin: documents that change, whose bytes and fields say which version they are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from functools import lru_cache

from proxy.core.byterange import Ignored, Multi, Single, Unsatisfiable, content_range, unsatisfied_range, wanted
from tests.kit.weborigin import Asked, Fields, WebSite, Wire

SAYS = "X-Doc"
"""The field that says whose version it is: `d3 v7`."""
TAGS = ("red", "green", "blue")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a document is like in all its versions. Times in seconds."""

    size: int
    max_age: int = 2
    etag: str | None = '"{}"'
    chunked: bool = False
    cache_control: str = ""
    serves_stale: float = 0.0
    """For how long beyond `max_age` it may be served although it is known to be stale."""
    kept: bool = True
    vary: str = ""
    ranges: bool = True
    tag: str = ""
    status: int = 200


class Mood(Enum):
    """How the origin is today."""

    WELL = "well"
    REFUSES = "refuses"
    SLOW = "slow"
    CUTS = "cuts"
    RESETS = "resets"
    MANGLES = "mangles"


@dataclass
class Document:
    """One target. `ended` is when a version was no longer the current one."""

    number: int
    traits: Traits
    version: int = 1
    ended: dict[int, float] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return f"/d{self.number}"

    def etag(self, version: int) -> str | None:
        return None if self.traits.etag is None else self.traits.etag.format(f"d{self.number}-v{version}")

    def content(self, version: int) -> bytes:
        return made(self.number, version, self.traits.size)


@lru_cache(maxsize=128)
def made(number: int, version: int, size: int) -> bytes:
    """The bytes of a version; sizes differ a little."""
    chance = random.Random(f"{number}/{version}")
    return chance.randbytes(max(1, size + (version % 3) * 17))


MIB = 1 << 20
CATALOGUE: tuple[Traits, ...] = (
    Traits(700),
    Traits(40_000, tag="red"),
    Traits(300_000, tag="green", max_age=3),
    Traits(3 * MIB + 11, tag="blue"),
    Traits(7 * MIB + 5, max_age=4),
    Traits(5_000, etag=None),
    Traits(900_000, etag=None, ranges=False),
    Traits(2 * MIB, etag=None, ranges=False, max_age=1),
    Traits(20_000, etag='W/"{}"', tag="red"),
    Traits(2 * MIB + 3, chunked=True),
    Traits(30_000, chunked=True, etag=None),
    Traits(10_000, cache_control="no-store", kept=False),
    Traits(1_500_000, cache_control="private, max-age=60", kept=False),
    Traits(60_000, cache_control="max-age=1, stale-while-revalidate=3", max_age=1, serves_stale=3.0, tag="green"),
    Traits(2 * MIB, cache_control="max-age=1, stale-if-error=5", max_age=1, serves_stale=5.0),
    Traits(15_000, vary="X-Lang"),
    Traits(900, status=404, max_age=1, etag=None),
    Traits(3 * MIB, ranges=False),
    Traits(4 * MIB, max_age=3, cache_control="max-age=3, stale-while-revalidate=2", serves_stale=2.0),
    Traits(1 * MIB, max_age=0, cache_control="no-cache"),
)


class Documents:
    """All of them, on a site. `now` is the loop's clock."""

    def __init__(self, site: WebSite, chance: random.Random, now: Callable[[], float]) -> None:
        self.site = site
        self.mood = Mood.WELL
        self._chance = chance
        self._now = now
        self.all = [Document(number, traits) for number, traits in enumerate(CATALOGUE)]
        for document in self.all:
            site.at(document.target, self._answering(document))

    def change(self, document: Document) -> None:
        """From now on it is another."""
        document.ended[document.version] = self._now()
        document.version += 1

    def _answering(self, document: Document):  # type: ignore[no-untyped-def]
        async def answer(asked: Asked, wire: Wire) -> None:
            match self.mood:
                case Mood.REFUSES:
                    await wire.reply(503, {"Date": formatdate(usegmt=True), "Cache-Control": "no-store"}, b"away")
                case Mood.RESETS:
                    wire.cut()
                case Mood.SLOW:
                    await asyncio.sleep(self._chance.random())
                    await self._say(document, asked, wire, rate=3e6)
                case mood:
                    await self._say(document, asked, wire, mood=mood)

        return answer

    async def _say(
        self, document: Document, asked: Asked, wire: Wire, *, rate: float | None = None, mood: Mood = Mood.WELL
    ) -> None:
        traits, version = document.traits, document.version
        content, etag = document.content(version), document.etag(version)
        own = _fields(document, version, asked)
        if etag is not None and asked["If-None-Match"] == etag:
            await wire.head(304, own)
            return
        part = wanted(asked["Range"], len(content)) if traits.ranges and asked.method == "GET" else Ignored()
        if asked["If-Range"] not in (None, etag):
            part = Ignored()
        status = traits.status
        match part:
            case Single(span):
                status = 206
                own["Content-Range"] = content_range(span, len(content))
                content = content[span.start : span.stop]
            case Ignored() | Multi():
                pass
            case Unsatisfiable():
                await wire.reply(416, {**own, "Content-Range": unsatisfied_range(len(content))})
                return
        await _send(wire, status, own, content, asked.method, chunked=traits.chunked, rate=rate, mood=mood)


async def _send(
    wire: Wire, status: int, own: Fields, content: bytes, method: str, *, chunked: bool, rate: float | None, mood: Mood
) -> None:
    if mood is Mood.MANGLES and "Content-Range" in own:
        own["Content-Range"] = own["Content-Range"].replace("bytes ", "bytes 1")
    own |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(content))}
    await wire.head(status, own)
    if method == "HEAD":
        return
    if mood is Mood.CUTS:
        await wire.body(content[: len(content) // 2], chunked=chunked)
        wire.cut()
        return
    await wire.body(content, rate=rate, chunked=chunked)
    if chunked:
        await wire.raw(b"0\r\n\r\n")


def _fields(document: Document, version: int, asked: Asked) -> Fields:
    traits, etag = document.traits, document.etag(version)
    language = f" {asked[traits.vary] or 'none'}" if traits.vary else ""
    return {
        "Date": formatdate(usegmt=True),
        SAYS: f"d{document.number} v{version}{language}",
        "Cache-Control": traits.cache_control or f"max-age={traits.max_age}",
        **({"ETag": etag} if etag is not None else {}),
        **({"Accept-Ranges": "bytes"} if traits.ranges else {}),
        **({"Vary": traits.vary} if traits.vary else {}),
        **({"Surrogate-Key": f"{traits.tag} all"} if traits.tag else {}),
    }
