"""Cuts, errors and staleness (HTTP-CACHE rows 47-53)."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.kit.waiting import until
from tests.kit.webnode import WebNode
from tests.kit.weborigin import Answering, Asked, Document, Reply, WebSite, Wire

MIB = 1024 * 1024
LONG = bytes(index * 31 % 253 for index in range(4 * MIB + 5))
SHORT = LONG[:900_000]


async def read(node: WebNode, target: str) -> tuple[int, bytes, bool]:
    """Status, what came of the body, and whether it ended as promised."""
    got = b""
    async with node.reading(target) as answer:
        try:
            async for piece in answer.content.iter_any():
                got += piece
        except aiohttp.ClientError:
            return answer.status, got, False
        return answer.status, got, True


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize("content", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("etag", ['"v1"', None], ids=["strong", "none"])
async def test_47_48_9112_8_a_cut_is_seen_and_never_served_as_whole(
    site: WebSite, node: WebNode, content: bytes, chunked: bool, etag: str | None
) -> None:
    """… or healed, where a strong validator allows it."""
    document = Document(content, etag=etag, chunked=chunked, cut_first_at=600_000)
    site.at("/a", document)
    status, got, ended = await read(node, "/a")
    assert (status, got) == (200, content) if ended else (not ended and content.startswith(got)) or status == 502
    assert await read(node, "/a") == (200, content, True)


@pytest.mark.parametrize("content", [SHORT, LONG], ids=["short", "long"])
async def test_49_50_a_cut_is_healed_inside_the_answer(site: WebSite, node: WebNode, content: bytes) -> None:
    site.at("/a", Document(content, cut_first_at=600_000))
    assert await read(node, "/a") == (200, content, True)
    assert site.asked[1]["Range"] is not None
    assert site.asked[1]["If-Range"] == '"v1"'
    assert site.sent <= len(content) + 200_000


async def drop(asked: Asked, wire: Wire) -> None:
    wire.cut()


FAILURES: list[tuple[str, Answering]] = [("503", Reply(503, {}, b"broken")), ("dropped", drop)]


@pytest.mark.parametrize("row, failing", FAILURES, ids=[row[0] for row in FAILURES])
@pytest.mark.parametrize("content", [SHORT, LONG], ids=["short", "long"])
async def test_51_52_5861_4_stale_if_error_also_under_range(
    site: WebSite, node: WebNode, row: str, failing: Answering, content: bytes
) -> None:
    site.at("/a", Document(content, {"Cache-Control": "max-age=0, stale-if-error=60"}))
    assert (await node.get("/a")).body == content
    site.at("/a", failing)
    whole, part = await node.get("/a"), await node.get("/a", range="bytes=10-19")
    assert (whole.status, whole.body) == (200, content)
    assert (part.status, part.body) == (206, content[10:20])
    assert "stale-if-error" in whole.headers["Cache-Status"]


@pytest.mark.parametrize("row, failing", FAILURES, ids=[row[0] for row in FAILURES])
@pytest.mark.parametrize("policy", ["max-age=0", "max-age=0, must-revalidate, stale-if-error=60"])
async def test_51_9111_4_2_4_nothing_stale_without_permission(
    site: WebSite, node: WebNode, row: str, failing: Answering, policy: str
) -> None:
    site.at("/a", Document(SHORT, {"Cache-Control": policy}))
    await node.get("/a")
    site.at("/a", failing)
    assert (await node.get("/a")).status == (503 if row == "503" else 502)


@pytest.mark.parametrize("fields", [{}, {"range": "bytes=0-9"}], ids=["whole", "part"])
async def test_53_5861_3_stale_while_revalidate_at_once_and_one_question(
    site: WebSite, node: WebNode, fields: dict[str, str]
) -> None:
    site.at("/a", Document(b"first version", {"Cache-Control": "max-age=0, stale-while-revalidate=60"}))
    await node.get("/a")

    gate = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.reply(200, {"Cache-Control": "max-age=60", "ETag": '"v2"'}, b"another one")

    site.at("/a", slow)
    answers = await asyncio.gather(*(node.get("/a", **fields) for _ in range(8)))
    gate.set()
    assert {answer.body for answer in answers} == {b"first version"[:10] if fields else b"first version"}

    async def is_new() -> bool:
        return (await node.get("/a")).body == b"another one"

    await until(is_new, "the new one")
    assert len(site.asked) == 2


async def test_61_9457_an_origin_that_is_away_is_a_problem_with_a_type(site: WebSite, node: WebNode) -> None:
    site.at("/a", drop)
    answer = await node.get("/a")
    assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")
    assert answer.json["status"] == 502


async def test_9111_5_2_1_7_only_if_cached(site: WebSite, node: WebNode) -> None:
    assert (await node.get("/a", cache_control="only-if-cached")).status == 504
    assert site.asked == []


async def test_9111_4_2_4_what_is_confirmed_behind_although_its_body_was_evicted_is_asked_for_anew(
    site: WebSite, node: WebNode
) -> None:
    """… by who waited for the confirmation, too: it holds, and there is still no body."""
    document = Document(SHORT, {"Cache-Control": "max-age=0, stale-while-revalidate=60"})

    async def slow(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.1 if asked["If-None-Match"] else 0)  # so that the client waits for the 304
        await document(asked, wire)

    site.at("/a", slow)
    assert (await node.get("/a")).body == SHORT
    await node.operate("prune", to=0.000_001)
    answer = await node.get("/a")
    assert (answer.status, answer.body) == (200, SHORT)
