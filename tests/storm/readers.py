"""Clients: one exchange each, of any form a client may take, and how it went."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random

import aiohttp
from yarl import URL

PIECE = 64 * 1024
DEADLINE = 45.0
_RANGE = re.compile(r"bytes=((?:\d+-\d*|-\d+)(?:,(?:\d+-\d*|-\d+))*)", re.ASCII)
MIB = 1 << 20


class Ended(Enum):
    """How an exchange ended, as its client can tell."""

    WHOLE = "whole"
    BROKEN = "broken"
    LEFT = "left"
    HUNG = "hung"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a client reads. Seconds between pieces; bytes after which it leaves."""

    pause: float = 0.0
    leave_after: int | None = None


@dataclass(slots=True)
class Exchange:
    """One request and what came back. Times are the loop's."""

    node: int
    method: str
    target: str
    fields: Mapping[str, str]
    began: float
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended_at: float = 0.0
    ended: Ended = Ended.HUNG
    problem: str = ""

    def __str__(self) -> str:
        said = {name: text for name, text in self.headers.items() if name.lower() in _TELLING}
        return (
            f"{self.began:8.2f} n{self.node} {self.method} {self.target} {dict(self.fields)} -> {self.status} "
            f"{self.ended.value} {self.problem} {len(self.body)} bytes in {self.ended_at - self.began:.2f} s {said}"
        )


_TELLING = frozenset({"cache-status", "etag", "content-length", "content-range", "x-doc", "age", "x-request-id"})


def range_of(chance: Random, size: int) -> str:
    """A Range of any form, of a body of about that size."""
    first = chance.choice([0, chance.randrange(size), max(0, size - 1), min(size - 1, MIB), size, size + 99])
    last = first + chance.choice([0, 1, 999, MIB - 1, 2 * MIB, 3 * size])
    match chance.randrange(6):
        case 0:
            return f"bytes={first}-"
        case 1:
            return f"bytes=-{chance.choice([1, 500, MIB, 2 * size])}"
        case 2:
            return chance.choice(["bytes=", "lines=0-5", "bytes=9-2", "bytes=a-b"])
        case 3 if size > 100_000:
            one, other = size // 10, size // 2
            return f"bytes={one}-{one + 99},{other}-{other + 4999}"
        case _:
            return f"bytes={first}-{last}"


def spans_of(text: str, size: int) -> tuple[tuple[int, int], ...] | None:
    """What such a field means of a body: half-open spans, none that is there, or None: it means nothing."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    spans = []
    for one in found[1].split(","):
        first, _, last = one.partition("-")
        if not first:
            spans.append((max(0, size - int(last)), size))
        elif last and int(last) < int(first):
            return None
        elif int(first) < size:
            spans.append((int(first), min(int(last) + 1, size) if last else size))
    return tuple(spans)


def manner_of(chance: Random, size: int) -> Manner:
    match chance.randrange(10):
        case 0:
            return Manner(leave_after=chance.randrange(max(1, size)))
        case 1:
            return Manner(pause=min(0.05, 1.5 * PIECE / max(size, PIECE)))
        case _:
            return Manner()


async def exchanged(
    session: aiohttp.ClientSession, base: str, told: Exchange, manner: Manner, now: Callable[[], float]
) -> Exchange:
    """Carry it out; never raises for what the answer does."""
    try:
        async with asyncio.timeout(DEADLINE):
            await _carried_out(session, base, told, manner)
    except TimeoutError:
        told.ended = Ended.HUNG
    except aiohttp.ClientConnectorError as error:
        told.ended, told.problem = Ended.UNREACHED, str(error)
    except (aiohttp.ClientError, OSError) as error:
        told.ended, told.problem = Ended.BROKEN, f"{type(error).__name__}: {error}"
    finally:
        told.ended_at = now()
    return told


async def _carried_out(session: aiohttp.ClientSession, base: str, told: Exchange, manner: Manner) -> None:
    fields = {"Accept-Encoding": "identity", **told.fields}
    address = URL(base + told.target, encoded=True)
    async with session.request(told.method, address, headers=fields, allow_redirects=False) as answer:
        told.status, told.headers = answer.status, answer.headers
        async for piece in answer.content.iter_chunked(PIECE):
            told.body += piece
            if manner.leave_after is not None and len(told.body) >= manner.leave_after:
                answer.close()
                told.ended = Ended.LEFT
                return
            if manner.pause:
                await asyncio.sleep(manner.pause)
    told.ended = Ended.WHOLE
