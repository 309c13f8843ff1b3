"""Several nodes before a generic origin: what one has fetched, or is to fetch, the others read from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit.asking import Answer, ask
from tests.kit.node import Node
from tests.kit.redis import RedisServer
from tests.kit.waiting import until
from tests.kit.webfleet import WebFleet
from tests.kit.weborigin import Asked, Document, Reply, WebSite, Wire

MIB = 1024 * 1024
SIZE = 12 * MIB
FRESH = {"Cache-Control": "max-age=600", "Accept-Ranges": "bytes"}
LOST = 3 * MIB
"""Bytes that were on their way, at most, when nodes let answers go that others are to fetch."""


def content_of(size: int, version: int = 1) -> bytes:
    return bytes(index * 31 * version % 253 for index in range(MIB)) * (size // MIB)


CONTENT = content_of(SIZE)


@dataclass
class AfterHead:
    """A document whose bodies are held back until they are let go."""

    document: Document
    may_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        await self.document(asked, _Held(wire, self.may_go))  # type: ignore[arg-type]


class _Held:
    def __init__(self, wire: Wire, may_go: asyncio.Event) -> None:
        self.head, self.reply, self.raw, self.cut = wire.head, wire.reply, wire.raw, wire.cut
        self._wire, self._may_go = wire, may_go

    async def body(self, content: bytes, *, rate: float | None = None, chunked: bool = False) -> None:
        await self._may_go.wait()
        await self._wire.body(content, rate=rate, chunked=chunked)


@pytest.fixture
async def site() -> AsyncIterator[WebSite]:
    async with WebSite.open() as opened:
        yield opened


@pytest.fixture
async def trio(site: WebSite, tmp_path: Path) -> AsyncIterator[WebFleet]:
    async with WebFleet.open(tmp_path, site.url, 3) as fleet:
        yield fleet


def document(fleet: WebFleet, owner: Node, content: bytes = CONTENT, **traits: float) -> Document:
    """One that `owner` is to fetch."""
    return Document(content, FRESH, etag=f'"{fleet.validator("/large", len(content), owner)}"', **traits)  # type: ignore[arg-type]


async def get(node: Node, target: str = "/large", **fields: str) -> Answer:
    return await ask(node.url, "GET", target, {name.replace("_", "-"): text for name, text in fields.items()})


async def test_a_cold_body_read_at_all_nodes_at_once_costs_the_origin_one_transfer(
    site: WebSite, trio: WebFleet
) -> None:
    owner = trio.nodes[1]
    held = AfterHead(document(trio, owner, rate=16e6))
    site.at("/large", held)
    reading = asyncio.gather(*(get(node) for node in trio.nodes))

    async def all_wait_for_the_owner() -> bool:
        return (await owner.metrics()).total("requests_in_flight") == 3

    await until(all_wait_for_the_owner, "the owner is asked by its client and by both peers")
    held.may_go.set()
    answers = await reading
    assert [answer.status for answer in answers] == [200] * 3
    assert all(answer.body == CONTENT for answer in answers)
    assert site.sent <= SIZE + LOST
    assert await trio.total("peer_bytes_total") == 2 * SIZE


async def test_what_one_node_has_read_the_others_read_from_its_owner(site: WebSite, trio: WebFleet) -> None:
    site.at("/large", document(trio, trio.nodes[0], rate=32e6))
    assert (await get(trio.nodes[1])).body == CONTENT
    sent = site.sent
    assert sent <= SIZE + LOST
    part = await get(trio.nodes[2], Range="bytes=5000000-5999999")
    assert (part.status, part.body) == (206, CONTENT[5_000_000:6_000_000])
    assert site.sent - sent <= LOST
    assert await trio.total("fleet_origin_bytes_total", reason="peers_failed") == 0


async def test_a_node_hears_of_a_changed_origin_from_the_owner_and_heals(site: WebSite, trio: WebFleet) -> None:
    site.at("/large", document(trio, trio.nodes[0]))
    before = await get(trio.nodes[1], Range="bytes=0-99999")
    assert before.body == CONTENT[:100_000]
    changed = content_of(SIZE, version=2)
    site.at("/large", Document(changed, FRESH, etag='"changed"'))
    after = await get(trio.nodes[1], Range="bytes=9000000-9999999")
    assert (after.status, after.body) == (206, changed[9_000_000:10_000_000])
    assert (await get(trio.nodes[1])).body == changed
    assert await trio.total("peer_reads_total", result="failed") == 0


async def test_what_the_origin_refuses_to_a_peer_is_had_by_the_one_whom_it_lets_in(
    site: WebSite, trio: WebFleet
) -> None:
    inner = document(trio, trio.nodes[0])

    async def with_pass(asked: Asked, wire: Wire) -> None:
        if asked["X-Pass"] is None:
            await wire.reply(403, {})
        else:
            await inner(asked, wire)

    site.at("/large", with_pass)
    answer = await get(trio.nodes[1], X_Pass="yes")
    assert (answer.status, answer.body) == (200, CONTENT)
    assert await trio.total("peer_reads_total", result="elsewhere") > 0


async def test_a_body_is_whole_although_its_owner_is_killed_under_it(site: WebSite, trio: WebFleet) -> None:
    owner, reader = trio.nodes[2], trio.nodes[0]
    site.at("/large", document(trio, owner, rate=6e6))
    reading = asyncio.create_task(get(reader))

    async def has_some() -> bool:
        return (await reader.metrics()).total("peer_bytes_total") > 2 * MIB

    await until(has_some, "the reader has something from the owner")
    await owner.kill()
    answer = await reading
    assert (answer.status, answer.body) == (200, CONTENT)
    assert site.sent <= SIZE + 2 * LOST


async def test_each_slice_comes_once_from_the_node_that_owns_it(site: WebSite, tmp_path: Path) -> None:
    size = 72 * MIB
    content = content_of(size)
    async with WebFleet.open(tmp_path, site.url, 2) as fleet:
        first, second = fleet.nodes
        tag = fleet.validator("/large", size, first, second)
        site.at("/large", Document(content, FRESH, etag=f'"{tag}"', rate=40e6))
        bodies = [answer.body == content for answer in await asyncio.gather(get(first), get(second))]
        assert bodies == [True, True]
        assert site.sent <= size + 3 * LOST
        assert await fleet.total("peer_bytes_total") == size


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Authorization": "Bearer x"}, {**FRESH, "Cache-Control": "public, max-age=600"}),
        ({"Cookie": "who=me"}, {**FRESH, "Vary": "Cookie"}),
    ],
    ids=["authorization", "a cookie that selects"],
)
async def test_what_cannot_be_asked_of_a_peer_is_asked_of_the_origin(
    site: WebSite, trio: WebFleet, fields: dict[str, str], said: dict[str, str]
) -> None:
    tag = trio.validator("/large", SIZE, trio.nodes[0])
    site.at("/large", Document(CONTENT, said, etag=f'"{tag}"'))
    answer = await ask(trio.nodes[1].url, "GET", "/large", fields)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert await trio.total("peer_bytes_total") == 0


async def test_a_purge_reaches_the_other_nodes(site: WebSite, tmp_path: Path) -> None:
    site.at("/thing", Reply(fields=FRESH))
    async with (
        RedisServer.open(tmp_path / "redis") as redis,
        WebFleet.open(tmp_path, site.url, 2, redis) as fleet,
    ):
        first, second = fleet.nodes
        for node in (first, second, first, second):
            assert (await get(node, "/thing")).body == b"ok"
        assert len(site.requests("/thing")) == 1
        purged = await ask(
            f"http://{first.admin}",
            "POST",
            "/-/api/purge/responses",
            {"Content-Type": "application/json"},
            b'{"target": "/thing"}',
        )
        assert purged.status == 200, purged.transcript

        async def is_asked_anew() -> bool:
            await get(second, "/thing")
            return len(site.requests("/thing")) == 2

        await until(is_asked_anew, "the other node has heard of the purge")
