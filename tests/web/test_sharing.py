"""One question to the origin for many clients, and none that waits for another without need (HTTP-CACHE rows 36-46)."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.asking import Answer
from tests.kit.waiting import until
from tests.kit.webnode import WebNode
from tests.kit.weborigin import Answering, Asked, Document, Reply, WebSite, Wire

MIB = 1024 * 1024
SIZE = 8 * MIB
CONTENT = bytes(index * 31 % 253 for index in range(SIZE))


async def many(node: WebNode, count: int, **fields: str) -> list[Answer]:
    return await asyncio.gather(*(node.get("/a", **fields) for _ in range(count)))


def held(gate: asyncio.Event, *, chunked: bool = False) -> Answering:
    """Half of `CONTENT`, and the rest when the gate opens; parts of it at once."""
    parts = Document(CONTENT)

    async def answering(asked: Asked, wire: Wire) -> None:
        if asked["Range"] is not None:
            await parts(asked, wire)
            return
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(SIZE)}
        await wire.head(200, {"Cache-Control": "max-age=60", "ETag": '"v1"', **framing})
        await wire.body(CONTENT[: SIZE // 2], chunked=chunked)
        await gate.wait()
        await wire.body(CONTENT[SIZE // 2 :], chunked=chunked)
        if chunked:
            await wire.raw(b"0\r\n\r\n")

    return answering


@pytest.mark.parametrize(
    "document",
    [Document(CONTENT, rate=16e6), Document(CONTENT, rate=16e6, chunked=True), Document(b"short", rate=50)],
    ids=["long", "chunked", "short"],
)
async def test_36_9111_4_twenty_cold_gets_are_one_transfer(site: WebSite, node: WebNode, document: Document) -> None:
    site.at("/a", document)
    answers = await many(node, 20)
    assert all(answer.body == document.content for answer in answers)
    assert len(site.asked) == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["long", "chunked"])
async def test_37_a_joiner_has_bytes_at_once_and_ends_with_the_first(
    site: WebSite, node: WebNode, chunked: bool
) -> None:
    gate = asyncio.Event()
    site.at("/a", held(gate, chunked=chunked))
    leader = asyncio.create_task(node.get("/a"))
    await until(lambda: site.sent == SIZE // 2, "half of it has come")
    async with node.reading("/a") as joiner:
        first = await joiner.content.readexactly(SIZE // 4)
        gate.set()
        assert first + await joiner.read() == CONTENT
    assert (await leader).body == CONTENT
    assert len(site.asked) == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["long", "chunked"])
async def test_38_the_first_leaves_and_the_others_go_on(site: WebSite, node: WebNode, chunked: bool) -> None:
    site.at("/a", Document(CONTENT, rate=8e6, chunked=chunked))
    async with node.reading("/a") as leader:
        await leader.content.readexactly(1000)
        joiner = asyncio.create_task(node.get("/a"))
        await until(lambda: site.sent > 2 * MIB, "some has come")
    assert (await joiner).body == CONTENT
    assert len(site.asked) == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["long", "chunked"])
async def test_39_a_stuck_reader_stalls_nobody(site: WebSite, node: WebNode, chunked: bool) -> None:
    site.at("/a", Document(CONTENT, chunked=chunked))
    async with node.reading("/a") as stuck:
        await stuck.content.readexactly(10)
        async with asyncio.timeout(15):
            assert (await node.get("/a")).body == CONTENT
    assert len(site.asked) == 1


async def test_40_41_ranges_behind_and_ahead_of_what_has_come(site: WebSite, node: WebNode) -> None:
    gate = asyncio.Event()
    site.at("/a", held(gate))
    async with node.reading("/a") as whole:
        start = await whole.content.readexactly(MIB)
        assert (await node.get("/a", range="bytes=100-199")).body == CONTENT[100:200]
        assert (await node.get("/a", range="bytes=7500000-7500099")).body == CONTENT[7_500_000:7_500_100]
        gate.set()
        assert start + await whole.read() == CONTENT


async def test_42_sixteen_ranges_at_once(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT, rate=20e6))
    step = SIZE // 16
    answers = await asyncio.gather(
        *(node.get("/a", range=f"bytes={at}-{at + step - 1}") for at in range(0, SIZE, step))
    )
    assert b"".join(answer.body for answer in answers) == CONTENT
    assert site.sent <= 1.5 * SIZE


async def test_43_one_cold_range_twenty_times(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT, rate=20e6))
    answers = await many(node, 20, range="bytes=3000000-3099999")
    assert all(answer.body == CONTENT[3_000_000:3_100_000] for answer in answers)
    assert site.sent <= 2 * MIB


@pytest.mark.parametrize("chunked", [False, True], ids=["long", "chunked"])
async def test_44_head_while_it_comes(site: WebSite, node: WebNode, chunked: bool) -> None:
    gate = asyncio.Event()
    site.at("/a", held(gate, chunked=chunked))
    async with node.reading("/a") as answer:
        await answer.content.readexactly(100)
        head = await node.get("/a", "HEAD")
        assert (head.status, head.headers["ETag"]) == (200, '"v1"')
        gate.set()
        assert len(await answer.read()) == SIZE - 100
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "fields",
    [{"Cache-Control": "no-store"}, {"Cache-Control": "private"}, {"Cache-Control": "max-age=0"}, {"Vary": "*"}],
)
async def test_45_what_cannot_be_shared_is_not_serialised(site: WebSite, node: WebNode, fields: dict[str, str]) -> None:
    """Seven of eight are with the origin at the same time, or nobody gets an answer; the first may have to be waited
    for, as long as nobody knows that it cannot be shared."""
    together = asyncio.Event()
    under_way = 0

    async def slow(asked: Asked, wire: Wire) -> None:
        nonlocal under_way
        under_way += 1
        if under_way == 8:
            together.set()
        if asked.number > 0:
            await together.wait()
        await wire.reply(200, fields, b"own")

    site.at("/a", slow)
    async with asyncio.timeout(15):
        answers = await many(node, 8)
    assert [answer.body for answer in answers] == [b"own"] * 8
    assert len(site.asked) == 8


async def test_46_ten_clients_share_one_error(site: WebSite, node: WebNode) -> None:
    async def slow(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.4)
        await wire.reply(503, {"Retry-After": "7"}, b"broken")

    site.at("/a", slow)
    answers = await many(node, 10)
    assert {(answer.status, answer.body, answer.headers["Retry-After"]) for answer in answers} == {
        (503, b"broken", "7")
    }
    assert len(site.asked) == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_46_ten_clients_share_one_error_that_may_be_kept(site: WebSite, node: WebNode, chunked: bool) -> None:
    """… and is stale at once, as nothing is said of it: who comes later asks again."""

    async def slow(asked: Asked, wire: Wire) -> None:
        await until(lambda: asked.number or node.page.total("requests_in_flight") == 10, "all wait")
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": "4"}
        await wire.head(404, {"Content-Type": "text/plain", **framing})
        await wire.body(b"none", chunked=chunked)
        if chunked:
            await wire.raw(b"0\r\n\r\n")

    site.at("/a", slow)
    answers = await many(node, 10)
    assert {(answer.status, answer.body, answer.headers["Content-Type"]) for answer in answers} == {
        (404, b"none", "text/plain")
    }
    assert len(site.asked) == 1
    assert (await node.get("/a")).status == 404
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    "fields",
    [{"Set-Cookie": "who=one"}, {"Cache-Control": "private"}, {"Cache-Control": "no-cache"}, {"Vary": "Cookie"}],
    ids=["set-cookie", "private", "no-cache", "vary"],
)
async def test_46_an_error_for_one_is_told_to_no_other(site: WebSite, node: WebNode, fields: dict[str, str]) -> None:
    async def slow(asked: Asked, wire: Wire) -> None:
        await until(lambda: asked.number or node.page.total("requests_in_flight") == 4, "all wait")
        await wire.reply(404, fields, (asked["Cookie"] or "").encode())

    site.at("/a", slow)
    answers = await asyncio.gather(*(node.get("/a", cookie=f"who={client}") for client in range(4)))
    assert [answer.body for answer in answers] == [f"who={client}".encode() for client in range(4)]


async def test_46_ten_clients_share_one_dropped_connection(site: WebSite, node: WebNode) -> None:
    async def drop(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.3)
        wire.cut()

    site.at("/a", drop)
    answers = await many(node, 10)
    assert {(answer.status, answer.headers["Content-Type"]) for answer in answers} == {
        (502, "application/problem+json")
    }
    assert len(site.asked) <= 2  # once more, for the connection may just have been idle too long


async def test_9111_4_1_variants_wait_for_their_own_alone(site: WebSite, node: WebNode) -> None:
    async def slow(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.2)
        said = (asked["Accept-Language"] or "").encode()
        await wire.reply(200, {"Cache-Control": "max-age=60", "Vary": "Accept-Language"}, said)

    site.at("/a", slow)
    tongues = ("de", "en", "fr")
    answers = await asyncio.gather(*(node.get("/a", accept_language=tongue) for tongue in tongues for _ in range(5)))
    assert [answer.body.decode() for answer in answers] == [tongue for tongue in tongues for _ in range(5)]
    assert len(site.asked) <= 5
    assert (await node.get("/a", accept_language="en")).body == b"en"


async def test_9111_4_1_who_came_by_another_scheme_waits_for_nobody_who_did_not(site: WebSite, node: WebNode) -> None:
    """… from the first request on: an origin need not say that it varies on that."""

    async def when_both_ask(asked: Asked, wire: Wire) -> None:
        await until(lambda: len(site.asked) == 2, "both are asked for", within=5.0)
        await wire.reply(200, {"Cache-Control": "max-age=60"}, (asked["X-Forwarded-Proto"] or "").encode())

    site.at("/a", when_both_ask)
    schemes = ("http", "https")
    answers = await asyncio.gather(*(node.get("/a", x_forwarded_proto=scheme) for scheme in schemes))
    assert [answer.body.decode() for answer in answers] == list(schemes)
    assert [(await node.get("/a", x_forwarded_proto=scheme)).body.decode() for scheme in schemes] == list(schemes)
    assert len(site.asked) == 2


async def test_9111_3_5_authorization_is_for_one(site: WebSite, node: WebNode) -> None:
    async def whose(asked: Asked, wire: Wire) -> None:
        await wire.reply(200, {"Cache-Control": "max-age=60"}, (asked["Authorization"] or "nobody").encode())

    site.at("/a", whose)
    assert (await node.get("/a", authorization="Bearer a")).body == b"Bearer a"
    assert (await node.get("/a", authorization="Bearer b")).body == b"Bearer b"
    assert (await node.get("/a")).body == b"nobody"


@pytest.mark.parametrize("field", ["authorization", "cookie"])
async def test_9111_3_5_what_the_origin_refuses_to_one_breaks_no_others_transfer(
    site: WebSite, node: WebNode, field: str
) -> None:
    gate = asyncio.Event()
    document = held(gate)

    async def answering(asked: Asked, wire: Wire) -> None:
        if asked[field] == "forged":
            await wire.reply(401, {}, b"who are you?")
        else:
            await document(asked, wire)

    site.at("/a", answering)
    async with node.reading("/a") as whole:
        start = await whole.content.readexactly(MIB)
        for at in (6 * MIB, 7 * MIB):
            part = f"bytes={at}-{at + 9}"
            # It may be spared the no: what it wants others want too, and each can be the one to ask.
            assert (await node.get("/a", range=part, **{field: "forged"})).status in (206, 401)
            asked = len(site.asked)
            assert (await node.get("/a", "HEAD")).status == 200
            assert len(site.asked) == asked  # it is still kept
            assert (await node.get("/a", range=part)).body == CONTENT[at : at + 10]
        gate.set()
        assert start + await whole.read() == CONTENT


async def test_9111_3_5_authorization_and_public_is_for_all(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={"Cache-Control": "public, max-age=60"}))
    await node.get("/a", authorization="Bearer a")
    await node.get("/a", authorization="Bearer b")
    await node.get("/a")
    assert len(site.asked) == 1
