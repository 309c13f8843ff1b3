"""Requests for parts of a generic origin's representation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from random import Random

import pytest

from proxy.core.sizes import CHUNK, MIB, SLICE
from proxy.core.spans import Span
from proxy.fetch.web.sources import Alone
from proxy.hub.web_peering import record_of
from proxy.origin.web_source import IDLE, WebSource

RECORD = record_of("http://data.example.org", "/large", "v1", 3 * SLICE)


class Given:
    """A 206 that is just what was asked for."""

    def __init__(self, asked: str) -> None:
        first, _, last = asked.removeprefix("bytes=").partition("-")
        length = int(last) + 1 - int(first)
        self.status = 206
        self.fields = (
            ("content-range", f"bytes {first}-{last}/{RECORD.size}"),
            ("content-length", str(length)),
            ("etag", '"v1"'),
        )

        self.length = length
        self.is_open = True

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield b"piece"
        for _ in range(self.length // MIB):
            yield bytes(MIB)

    async def aclose(self) -> None:
        self.is_open = False


class Origin:
    """Gives what is asked for, and remembers it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: list[Given] = []

    async def ask(self, fields: tuple[tuple[str, str], ...]) -> Given:
        self.requests.append(dict(fields)["Range"])
        self.answers.append(Given(self.requests[-1]))
        return self.answers[-1]

    def source(self, within: int | None = None) -> WebSource:
        return WebSource(
            self.ask,
            RECORD,
            strong=True,
            retries=0,
            chance=Random(1),
            pause=asyncio.sleep,
            forecast=Alone().of(RECORD.key),
            within=within,
        )


async def read(source: WebSource, span: Span) -> int:
    async with aclosing(source.read(span, ())) as pieces:
        return sum([len(piece) async for piece in pieces])


@pytest.mark.parametrize(
    ("within", "asked"),
    [(None, f"bytes={SLICE}-{3 * SLICE - 1}"), (SLICE, f"bytes={SLICE}-{2 * SLICE - 1}")],
)
async def test_a_request_goes_on_to_the_end_of_what_is_wanted_or_of_the_slice(within: int | None, asked: str) -> None:
    origin = Origin()
    source = origin.source(within)
    with source.wanting(Span(0, 3 * SLICE)):
        async with aclosing(source.read(Span(SLICE, SLICE + 4), ())) as pieces:
            assert await anext(pieces) == b"piec"
    await source.aclose()
    assert origin.requests == [asked]


@pytest.mark.parametrize(("gap", "requests"), [(CHUNK - 1, 1), (CHUNK, 2)])
async def test_less_than_a_chunk_is_read_over_and_a_whole_one_left_to_who_wants_it(gap: int, requests: int) -> None:
    origin = Origin()
    source = origin.source()
    with source.wanting(Span(0, SLICE)):
        assert await read(source, Span(0, CHUNK)) == CHUNK
        assert await read(source, Span(CHUNK + gap, CHUNK + gap + 4)) == 4
    await source.aclose()
    assert len(origin.requests) == requests


async def test_of_many_answers_that_nobody_reads_any_more_the_last_are_kept_and_at_the_end_none() -> None:
    origin = Origin()
    source = origin.source()
    with source.wanting(Span(0, RECORD.size)):
        for place in range(0, (IDLE + 10) * 2 * MIB, 2 * MIB):
            assert await read(source, Span(place, place + 4)) == 4
        assert [answer.is_open for answer in origin.answers] == [False] * 9 + [True] * (IDLE + 1)
        before = len(origin.requests)
        await read(source, Span(place + 4, place + 8))
        assert len(origin.requests) == before
    await source.aclose()
    assert not any(answer.is_open for answer in origin.answers)
