"""The fast lane before a generic origin: the same as the full one to clients and in the books, and never late."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from bench.hub.content import MIB
from tests.kit import conversations
from tests.kit.conversations import Answer, Conversation, Hot, asked, held
from tests.kit.waiting import until
from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Document, Reply, WebSite

FRESH = {"Cache-Control": "max-age=600"}
MADE = "Mon, 06 Nov 2023 08:49:37 GMT"
SUMS = (
    "http_requests_total",
    "time_to_first_byte_seconds_count",
    "transfer_duration_seconds_count",
    "response_size_bytes_count",
    "response_size_bytes_sum",
    "connections",
    "requests_in_flight",
    "leaks_total",
)
TTL = re.compile(r"ttl=\d+")
HOT = Hot("/small.json", "/large.bin", "/moved", '"v1"')


@pytest.fixture
def hot_site(site: WebSite) -> WebSite:
    site.at("/small.json", Document(b'{"hidden_size": 64}' * 30, FRESH))
    site.at("/large.bin", Document(bytes(2 * MIB), {**FRESH, "Accept-Ranges": "bytes"}))
    site.at("/moved", Reply(301, {**FRESH, "Location": "/small.json", "Link": "</a>; rel=next", "Date": MADE}))
    return site


@asynccontextmanager
async def both(folder: Path, site: WebSite, **settings: Any) -> AsyncIterator[tuple[WebNode, WebNode]]:
    """A node with the fast lane, and one without."""
    (folder / "fast").mkdir()
    (folder / "full").mkdir()
    async with (
        web_node(folder / "fast", site.url, **settings) as fast,
        web_node(folder / "full", site.url, hot__memory="0", **settings) as full,
    ):
        yield fast, full


def at_once(node: WebNode) -> float:
    """Bytes of the origin's that were answered from memory."""
    if (lane := node.inside.gate.lane) is not None:
        lane.flush()
    return node.page.total("response_bytes_total", source="memory", route="web")


def like(answer: Answer) -> Answer:
    """But for times, ids and what is left of its freshness."""
    known = answer.like()
    return replace(known, fields=tuple((name, TTL.sub("ttl", text)) for name, text in known.fields))


async def compare(fast: WebNode, full: WebNode, talks: list[Conversation]) -> None:
    for talk in talks:
        found, expected = [await held(node.address, talk) for node in (fast, full)]
        assert [like(one) for one in found.answers] == [like(one) for one in expected.answers], talk
        assert (found.was_ended, found.like().rest) == (expected.was_ended, expected.like().rest), talk


async def test_both_lanes_answer_and_count_alike(hot_site: WebSite, tmp_path: Path) -> None:
    async with both(tmp_path, hot_site) as (fast, full):
        talks = [*conversations.plain(HOT), *conversations.odd(HOT)]
        await compare(fast, full, [*talks, *talks])
        await until(lambda: summed(fast) == summed(full), "the books agree", 5.0)
        assert at_once(fast) > at_once(full)


async def test_requests_in_pieces_or_in_one_another_are_answered_alike(hot_site: WebSite, tmp_path: Path) -> None:
    async with both(tmp_path, hot_site, limits__header_timeout="0.5s") as (fast, full):
        for target in (HOT.small, HOT.large, HOT.branch):
            await fast.get(target)
            await full.get(target)
        crowd = asyncio.Semaphore(16)

        async def one(talk: Conversation) -> None:
            async with crowd:
                await compare(fast, full, [talk])

        await asyncio.gather(*(one(talk) for talk in conversations.joined(HOT) if not writes(talk)))
        assert at_once(fast) > 0


def writes(talk: Conversation) -> bool:
    """Whether it has a method that makes void what others, at the same time, are answered with."""
    return any(b"POST " in step.sent for step in talk)


def summed(node: WebNode) -> dict[str, Any]:
    page = node.page
    return {name: sorted((sorted(labels.items()), value) for labels, value in page.matching(name)) for name in SUMS}


async def told(node: WebNode, target: str, *fields: str, method: str = "GET") -> Answer:
    """Asked three times on one connection, to be fetched, then copied, then answered from memory where the lane may:
    the last answer."""
    heard = await held(node.address, (asked(target, *fields, method=method),) * 3)
    return heard.answers[2]


async def test_9111_5_1_date_stays_and_age_and_ttl_go_on(site: WebSite, node: WebNode) -> None:
    made = formatdate(usegmt=True)
    site.at("/a", Reply(fields={**FRESH, "Date": made, "Age": "100"}, content=b"said"))
    seen = set[tuple[str | None, str | None]]()
    ends = asyncio.get_running_loop().time() + 2.2
    while asyncio.get_running_loop().time() < ends:
        answer = await told(node, "/a")
        assert answer.field("Date") == made
        status = answer.field("Cache-Status") or ""
        if "hit" in status:
            seen.add((answer.field("Age"), status))
        await asyncio.sleep(0.01)
    ages = sorted(int(age or "") for age, _ in seen)
    assert ages[0] >= 100
    assert ages[-1] - ages[0] >= 1
    for age, status in seen:
        # what is left counts down as the age counts up; the parts of a second of both make one
        left = int(status.rpartition("ttl=")[2])
        assert int(age or "") + left in (599, 600)
    assert at_once(node) > 0
    assert len(site.asked) == 1


async def test_what_is_fresh_no_more_is_confirmed_at_once(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(b"one", {"Cache-Control": "max-age=3"}))
    answer = await told(node, "/a")
    site.at("/a", Document(b"two", {"Cache-Control": "max-age=3"}, etag='"v2"'))
    while answer.body == b"one":
        assert int(answer.field("Age") or "") < 3
        await asyncio.sleep(0.02)
        answer = await told(node, "/a")
    assert answer.body == b"two"
    assert at_once(node) > 0


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_9111_4_4_a_write_is_seen_by_the_next_reader(site: WebSite, node: WebNode, method: str) -> None:
    site.at("/a", Document(b"one", FRESH))
    assert (await told(node, "/a")).body == b"one"
    before = at_once(node)
    assert before > 0
    site.at("/a", Document(b"two", FRESH, etag='"v2"'))
    await node.get("/a", method, b"new")
    assert (await told(node, "/a")).body == b"two"


@pytest.mark.parametrize("how", ["purge", "write"])
async def test_9111_4_4_what_another_worker_takes_back_is_seen_at_once(site: WebSite, tmp_path: Path, how: str) -> None:
    async with web_node(tmp_path, site.url) as here, web_node(tmp_path, site.url, worker=1) as there:
        for version in range(10):
            site.at("/a", Document(b"%d" % version, FRESH, etag=f'"{version}"'))
            if how == "purge":
                await there.operate("void", target="/a")
            else:
                await there.get("/a", "PUT", b"new")
            assert (await told(here, "/a")).body == b"%d" % version
        assert at_once(here) > 5


async def test_what_another_request_has_fetched_anew_is_what_all_get(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(b"one", FRESH))
    assert (await told(node, "/a")).body == b"one"
    site.at("/a", Document(b"two", FRESH, etag='"v2"'))
    assert (await node.get("/a", cache_control="no-cache")).body == b"two"
    assert (await told(node, "/a")).body == b"two"


WISHES = ["Cache-Control: no-cache", "Pragma: no-cache", "Cache-Control: max-age=0", "Cache-Control: no-store"]


@pytest.mark.parametrize("wish", WISHES)
async def test_9111_5_2_1_what_the_client_wants_of_freshness_is_heard(site: WebSite, node: WebNode, wish: str) -> None:
    site.at("/a", Reply(fields=FRESH, content=b"said"))
    await told(node, "/a")
    asked_before = len(site.asked)
    await told(node, "/a", wish)
    assert len(site.asked) == asked_before + (0 if "no-store" in wish else 3)


VARY = [
    ("Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: br", True),
    ("Accept, Accept-Language", "Accept: text/html", "Accept: text/plain", True),
    ("Origin", "Origin: http://a", "Origin: http://b", True),
    ("User-Agent", "User-Agent: a", "User-Agent: b", False),
    ("X-Forwarded-For", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2", False),
    ("Cookie", "Cookie: a=1", "Cookie: a=2", False),
]


@pytest.mark.parametrize("vary, one, two, is_hot", VARY, ids=[row[0] for row in VARY])
async def test_9111_4_1_every_variant_goes_to_whom_it_is_for(
    site: WebSite, node: WebNode, vary: str, one: str, two: str, is_hot: bool
) -> None:
    async def say(asked_: Any, wire: Any) -> None:
        said = "".join(str(asked_[name]) for name in vary.split(", "))
        await wire.reply(200, {**FRESH, "Vary": vary}, said.encode())

    site.at("/a", say)
    for _ in range(2):
        for field in (one, two):
            answer = await told(node, "/a", field)
            assert field.partition(": ")[2].encode() in answer.body
    assert (at_once(node) > 0) is is_hot
    await told(node, "/a")
    assert len(site.asked) == 3


async def test_nothing_of_the_mirror_itself_is_taken_for_the_origins(site: WebSite, node: WebNode) -> None:
    for _ in range(3):
        assert (await told(node, "/-/livez")).first == "HTTP/1.1 200 OK"
    assert site.asked == []
