"""Requests for parts of a generic origin's representation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from random import Random

import pytest

from proxy.core.sizes import SLICE
from proxy.core.spans import Span
from proxy.hub.web_peering import record_of
from proxy.origin.web_source import WebSource

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

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield b"piece"

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("within", "asked"),
    [(None, f"bytes={SLICE}-{3 * SLICE - 1}"), (SLICE, f"bytes={SLICE}-{2 * SLICE - 1}")],
)
async def test_a_request_goes_on_to_the_end_of_what_is_wanted_or_of_the_slice(within: int | None, asked: str) -> None:
    requests: list[str] = []

    async def ask(fields: tuple[tuple[str, str], ...]) -> Given:
        requests.append(dict(fields)["Range"])
        return Given(requests[-1])

    source = WebSource(ask, RECORD, strong=True, retries=0, chance=Random(1), pause=asyncio.sleep, within=within)
    with source.wanting(Span(0, 3 * SLICE)):
        async with aclosing(source.read(Span(SLICE, SLICE + 4))) as pieces:
            assert await anext(pieces) == b"piec"
    await source.aclose()
    assert requests == [asked]
