"""Several workers of a node ask the origin once, and never stand in a queue for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.kit.asking import Answer, ask
from tests.kit.node import Node, NodePlan
from tests.kit.procfs import snapshot
from tests.kit.waiting import until
from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Answering, Asked, Document, Reply, WebSite, Wire

MIB = 1024 * 1024
FRESH = {"Cache-Control": "max-age=600"}
CONTENT = bytes(range(256)) * 16 * 1024
EACH = 8

Pair = tuple[WebNode, WebNode]


@pytest.fixture
async def pair(site: WebSite, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two workers of one node, each with a port of its own."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(web_node(tmp_path, site.url, worker=worker, server__workers=2))
            for worker in range(2)
        ]
        yield first, second


async def herd(pair: Pair, target: str, **fields: str) -> list[Answer]:
    return await asyncio.gather(*(node.get(target, **fields) for node in pair for _ in range(EACH)))


def all_wait(pair: Pair) -> bool:
    """Whether all of a herd are being answered, at both workers."""
    return [node.page.total("requests_in_flight") for node in pair] == [EACH, EACH]


@pytest.mark.parametrize(
    "document",
    [
        Document(b"short" * 100, FRESH),
        Document(b"short" * 100, FRESH, etag=None),
        Document(b"unannounced" * 100, FRESH, etag=None, chunked=True),
        Document(CONTENT, {**FRESH, "Accept-Ranges": "bytes"}, rate=16e6),
    ],
    ids=["short", "without a validator", "of unknown length", "long"],
)
async def test_a_cold_herd_at_two_workers_is_one_request(site: WebSite, pair: Pair, document: Document) -> None:
    gate = asyncio.Event()

    async def when_all_wait(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await document(asked, wire)

    site.at("/a", when_all_wait)
    asking = asyncio.gather(*(node.get("/a") for node in pair for _ in range(EACH)))
    await until(lambda: all_wait(pair), "all wait")
    gate.set()
    answers = await asking
    assert all(answer.body == document.content for answer in answers)
    assert len([asked for asked in site.asked if asked["Range"] is None]) == 1
    assert sum("collapsed" in answer.headers["Cache-Status"] for answer in answers) >= EACH


async def test_what_is_stale_is_confirmed_once(site: WebSite, pair: Pair) -> None:
    document = Document(b"thing", {"Cache-Control": "max-age=0, must-revalidate"})
    site.at("/a", document)
    await pair[0].get("/a")
    site.asked.clear()
    document.fields = FRESH
    assert {answer.body for answer in await herd(pair, "/a")} == {b"thing"}
    assert [asked["If-None-Match"] for asked in site.asked] == ['"v1"']


@pytest.mark.parametrize(
    "fields",
    [{"Cache-Control": "no-store"}, {"Cache-Control": "private"}, {"Vary": "*"}, {"Set-Cookie": "who=you"}],
    ids=["no-store", "private", "vary *", "set-cookie"],
)
async def test_45_what_cannot_be_shared_is_not_serialised(site: WebSite, pair: Pair, fields: dict[str, str]) -> None:
    """One asks, and as soon as it has its answer all others, at both workers, are with the origin at the same time."""
    known, together = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        if len(site.asked) == 2 * EACH:
            together.set()
        await (together if asked.number else known).wait()
        await wire.reply(200, fields, b"%d" % asked.number)

    site.at("/a", slow)
    asking = asyncio.gather(*(node.get("/a") for node in pair for _ in range(EACH)))
    await until(lambda: all_wait(pair) and bool(site.asked), "all wait for the first")
    assert len(site.asked) == 1
    known.set()
    async with asyncio.timeout(15):
        answers = await asking
    assert {answer.body for answer in answers} == {b"%d" % number for number in range(2 * EACH)}


async def test_each_variant_is_asked_for_once(site: WebSite, pair: Pair) -> None:
    async def in_a_language(asked: Asked, wire: Wire) -> None:
        tongue = asked["Accept-Language"] or ""
        await wire.reply(200, {**FRESH, "Vary": "Accept-Language", "ETag": f'"{tongue}"'}, tongue.encode())

    site.at("/a", in_a_language)
    for tongue in ("de", "fr"):
        assert {answer.body for answer in await herd(pair, "/a", Accept_Language=tongue)} == {tongue.encode()}
    assert [asked["Accept-Language"] for asked in site.asked] == ["de", "fr"]


async def test_an_error_is_waited_for_once_and_then_each_worker_asks(site: WebSite, pair: Pair) -> None:
    gate = asyncio.Event()

    async def failing(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.reply(503, {"Retry-After": "7"}, b"not now")

    site.at("/a", failing)
    asking = asyncio.gather(*(node.get("/a") for node in pair for _ in range(EACH)))
    await until(lambda: all_wait(pair) and bool(site.asked), "all wait")
    gate.set()
    assert {(answer.status, answer.body) for answer in await asking} == {(503, b"not now")}
    assert len(site.asked) == 2


@pytest.mark.parametrize("long", ["unannounced", "announced"])
async def test_a_body_that_takes_long_holds_no_other_worker_up(site: WebSite, pair: Pair, long: str) -> None:
    gate, framing = asyncio.Event(), {"Content-Length": str(len(CONTENT))}
    if long == "unannounced":
        framing = {"Transfer-Encoding": "chunked"}

    async def stopping(asked: Asked, wire: Wire) -> None:
        await wire.head(200, {**FRESH, **framing})
        await wire.body(CONTENT[:MIB], chunked=long == "unannounced")
        await gate.wait()

    site.at("/a", stopping)
    async with pair[0].reading("/a") as first, asyncio.timeout(15):
        await first.content.readexactly(1000)
        async with pair[1].reading("/a") as second:
            await second.content.readexactly(1000)
        gate.set()
    assert len(site.asked) == 2


async def test_an_origin_that_takes_long_is_asked_by_each_worker(site: WebSite, pair: Pair) -> None:
    never = asyncio.Event()

    async def silent_at_first(asked: Asked, wire: Wire) -> None:
        if asked.number == 0:
            await never.wait()
        await wire.reply(200, FRESH, b"thing")

    site.at("/a", silent_at_first)
    first = asyncio.create_task(pair[0].get("/a"))
    await until(lambda: len(site.asked) == 1, "the first asks")
    assert (await asyncio.wait_for(pair[1].get("/a"), 15)).body == b"thing"
    assert not first.done()
    first.cancel()


async def test_a_first_client_that_leaves_leaves_the_answer_to_the_other_worker(site: WebSite, pair: Pair) -> None:
    gate = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.reply(200, FRESH, b"thing")

    site.at("/a", slow)
    first = asyncio.create_task(pair[0].get("/a"))
    await until(lambda: len(site.asked) == 1, "the first asks")
    second = asyncio.create_task(pair[1].get("/a"))
    first.cancel()
    await until(lambda: pair[0].page.total("requests_in_flight") == 0, "it has left")
    gate.set()
    assert (await second).body == b"thing"
    assert len(site.asked) == 1


async def test_a_node_whose_file_of_leads_cannot_be_opened_serves_all_the_same(site: WebSite, tmp_path: Path) -> None:
    (tmp_path / "state" / "leads").mkdir(parents=True)
    site.at("/a", Reply(fields=FRESH))
    async with web_node(tmp_path, site.url, server__workers=2) as node:
        assert (await node.get("/a")).body == b"ok"
        assert "hit" in (await node.get("/a")).headers["Cache-Status"]


def late(document: Document) -> Answering:
    """It, from an origin that thinks first."""

    async def answering(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.1)
        await document(asked, wire)

    return answering


# --- processes ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def node(site: WebSite, tmp_path: Path) -> AsyncIterator[Node]:
    """Two real workers behind one port."""
    plan = NodePlan(tmp_path, site.url, (), (f"{tmp_path / 'disk'}=256MiB",), 2, {"origin.kind": "http"})
    running = Node(plan)
    try:
        yield await running.start()
    finally:
        await running.kill()


async def test_a_cold_herd_at_two_processes_is_one_request(site: WebSite, node: Node) -> None:
    for number in range(5):
        site.at(f"/{number}", late(Document(b"thing" * 100, FRESH)))
        answers = await asyncio.gather(*(ask(node.url, "GET", f"/{number}", {}) for _ in range(24)))
        assert {answer.body for answer in answers} == {b"thing" * 100}
        assert len(site.requests(f"/{number}")) == 1


async def test_a_worker_killed_in_the_middle_of_its_question_frees_it(site: WebSite, node: Node) -> None:
    never = asyncio.Event()

    async def silent_at_first(asked: Asked, wire: Wire) -> None:
        if asked.number == 0:
            await never.wait()
        await wire.reply(200, FRESH, b"thing")

    site.at("/a", silent_at_first)
    asking = [asyncio.create_task(ask(node.url, "GET", "/a", {})) for _ in range(24)]
    await until(lambda: len(site.asked) == 1, "one of the workers asks")
    (asker,) = [pid for pid in node.workers if snapshot(pid, node.ports).descriptors.upstream]
    await node.kill_worker(asker)
    answers = await asyncio.gather(*asking, return_exceptions=True)
    served = [answer for answer in answers if isinstance(answer, Answer)]
    assert served
    assert {answer.body for answer in served} == {b"thing"}
    assert len(site.asked) == 2
