"""Several nodes before a generic origin: each answer is asked for once, by the node that owns its place."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.asking import Answer, ask
from tests.kit.node import Node
from tests.kit.redis import RedisServer
from tests.kit.waiting import until
from tests.kit.webfleet import WebFleet
from tests.kit.weborigin import Asked, Document, Reply, WebSite, Wire

MIB = 1024 * 1024
FRESH = {"Cache-Control": "max-age=600"}


@pytest.fixture
async def site() -> AsyncIterator[WebSite]:
    async with WebSite.open() as opened:
        yield opened


@pytest.fixture
async def trio(site: WebSite, tmp_path: Path) -> AsyncIterator[WebFleet]:
    async with WebFleet.open(tmp_path, site.url, 3) as fleet:
        yield fleet


async def get(node: Node, target: str, **fields: str) -> Answer:
    return await ask(node.url, "GET", target, {name.replace("_", "-"): text for name, text in fields.items()})


async def herd(fleet: WebFleet, target: str, each: int = 4, **fields: str) -> list[Answer]:
    """`each` clients at every node, all at once."""
    return await asyncio.gather(*(get(node, target, **fields) for node in fleet.nodes for _ in range(each)))


@pytest.mark.parametrize(
    "document",
    [
        Document(b"short" * 100, FRESH, rate=2000),
        Document(b"short" * 100, FRESH, etag=None, rate=2000),
        Document(b"unannounced" * 100, FRESH, etag=None, rate=4000, chunked=True),
        Document(bytes(range(256)) * 16 * 1024, FRESH, etag='W/"weak"', rate=8e6),
        Document(bytes(range(256)) * 16 * 1024, FRESH, rate=8e6, ranges=False),
        Document(bytes(range(256)) * 16 * 1024, FRESH, etag=None, rate=8e6, chunked=True),
    ],
    ids=[
        "short",
        "without a validator",
        "of unknown length",
        "long, weak validator",
        "long, no ranges",
        "long, unknown length",
    ],
)
async def test_a_cold_herd_at_three_nodes_is_one_request(site: WebSite, trio: WebFleet, document: Document) -> None:
    site.at("/a", document)
    answers = await herd(trio, "/a")
    assert [answer.status for answer in answers] == [200] * 12
    assert all(answer.body == document.content for answer in answers)
    assert len(site.asked) == 1
    for node in trio.nodes:
        assert (await get(node, "/a")).body == document.content
    assert len(site.asked) == 1, "what a node has taken over, it keeps"


async def test_a_cold_herd_at_nodes_of_two_workers_is_one_request(site: WebSite, tmp_path: Path) -> None:
    async with WebFleet.open(tmp_path, site.url, 2, **{"server.workers": 2}) as fleet:

        async def after_a_while(asked: Asked, wire: Wire) -> None:
            await asyncio.sleep(0.1)
            await wire.reply(200, FRESH, b"thing")

        for number in range(4):
            site.at(f"/{number}", after_a_while)
            assert {answer.body for answer in await herd(fleet, f"/{number}", each=8)} == {b"thing"}
            assert len(site.requests(f"/{number}")) == 1


async def test_a_long_body_under_a_strong_validator_is_asked_for_by_its_owners_alone(
    site: WebSite, trio: WebFleet
) -> None:
    content = bytes(range(256)) * 12 * 1024
    site.at("/a", Document(content, {**FRESH, "Accept-Ranges": "bytes"}, rate=16e6))
    assert all(answer.body == content for answer in await herd(trio, "/a", each=1))
    assert len([asked for asked in site.asked if asked["Range"] is None]) == 1
    assert len(site.asked) <= 1 + len(content) // MIB


async def test_each_variant_is_asked_for_once(site: WebSite, trio: WebFleet) -> None:
    async def in_a_language(asked: Asked, wire: Wire) -> None:
        said = {**FRESH, "Vary": "Accept-Language", "ETag": f'"{asked["Accept-Language"]}"'}
        await wire.reply(200, said, (asked["Accept-Language"] or "none").encode())

    site.at("/a", in_a_language)
    for language in ("de", "fr"):
        answers = await herd(trio, "/a", each=2, Accept_Language=language)
        assert {answer.body for answer in answers} == {language.encode()}
    assert sorted(asked["Accept-Language"] or "" for asked in site.asked) == ["de", "fr"]


async def test_the_age_of_a_copy_is_that_of_the_answer(site: WebSite, trio: WebFleet) -> None:
    owner = trio.nodes[0]
    target = trio.owned(owner)
    site.at(target, Reply(fields={**FRESH, "Age": "100", "Date": "Mon, 01 Jan 2035 00:00:00 GMT"}))
    first = await get(owner, target)
    copy = await get(trio.nodes[1], target)
    assert 100 <= int(first.headers["Age"]) <= int(copy.headers["Age"]) <= 110
    assert copy.headers["Date"] == "Mon, 01 Jan 2035 00:00:00 GMT"
    hops = [hop.partition(";")[2].strip() for hop in copy.headers["Cache-Status"].split(", ")]
    assert hops[0].startswith("hit; ttl=")
    assert hops[1:] == ["fwd=uri-miss; stored; detail=owner"]
    assert copy.headers["Via"] == first.headers["Via"]


@pytest.mark.parametrize(
    "said",
    [
        {"Cache-Control": "private, max-age=600"},
        {"Cache-Control": "no-store"},
        {"Cache-Control": "max-age=600", "Vary": "*"},
        {"Set-Cookie": "who=you"},
    ],
    ids=["private", "no-store", "vary *", "set-cookie"],
)
async def test_an_answer_for_one_is_asked_for_by_each_for_itself_and_told_to_no_other(
    site: WebSite, trio: WebFleet, said: dict[str, str]
) -> None:
    numbers = itertools.count()

    async def one_for_each(asked: Asked, wire: Wire) -> None:
        await wire.reply(200, said, str(next(numbers)).encode())

    site.at("/a", one_for_each)
    answers = await herd(trio, "/a")
    assert len({answer.body for answer in answers}) == 12
    asked_before = len(site.asked)
    assert asked_before <= 12 + 3, "each node has the owner ask once in vain, at most"
    await herd(trio, "/a", each=1)
    assert len(site.asked) == asked_before + 3, "all nodes remember that it is not shared"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Authorization": "Bearer x"}, {"Cache-Control": "public, max-age=600"}),
        ({"Cookie": "who=me"}, {"Cache-Control": "max-age=600"}),
        ({"Cookie": "who=me"}, {"Cache-Control": "max-age=600", "Vary": "Cookie"}),
    ],
    ids=["authorization", "a cookie", "a cookie that selects"],
)
async def test_who_somebody_is_goes_to_the_origin_from_the_node_that_was_told(
    site: WebSite, trio: WebFleet, fields: dict[str, str], said: dict[str, str]
) -> None:
    owner, other, _ = trio.nodes
    target = trio.owned(owner)
    site.at(target, Document(b"thing", said))
    answer = await ask(other.url, "GET", target, fields)
    assert (answer.status, answer.body) == (200, b"thing")
    (asked,) = site.asked
    assert all(asked[name] == text for name, text in fields.items())
    await get(owner, target)
    assert len(site.asked) == 2, "the owner had nothing of it"


async def test_one_with_a_cookie_gets_what_the_owner_has_for_everybody(site: WebSite, trio: WebFleet) -> None:
    owner, other, _ = trio.nodes
    target = trio.owned(owner)
    site.at(target, Document(b"thing", FRESH))
    await get(owner, target)
    assert (await get(other, target, Cookie="who=me")).body == b"thing"
    assert (await get(trio.nodes[2], target, If_None_Match='"v1"')).status == 304
    assert len(site.asked) == 1


async def test_what_is_stale_is_confirmed_once(site: WebSite, trio: WebFleet) -> None:
    document = Document(b"thing", {"Cache-Control": "max-age=0, must-revalidate"})
    site.at("/a", document)
    await herd(trio, "/a", each=1)
    site.asked.clear()
    document.fields = FRESH
    answers = await herd(trio, "/a", each=2)
    assert all(answer.body == b"thing" for answer in answers)
    assert [asked["If-None-Match"] for asked in site.asked] == ['"v1"']


async def test_what_may_be_served_stale_is_confirmed_once_behind_the_clients(site: WebSite, trio: WebFleet) -> None:
    site.at("/a", Document(b"old", {"Cache-Control": "max-age=600, stale-while-revalidate=600"}))
    await herd(trio, "/a", each=1)
    site.asked.clear()
    gate, new = asyncio.Event(), Document(b"new", FRESH, etag='"v2"')

    async def when_the_gate_opens(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await new(asked, wire)

    site.at("/a", when_the_gate_opens)
    for node in trio.nodes:
        await purge(node, '{"target": "/a", "soft": true}')
    assert {answer.body for answer in await herd(trio, "/a", each=2)} == {b"old"}
    gate.set()
    await _all_have(trio, "/a", b"new")
    assert [asked["If-None-Match"] for asked in site.asked] == ['"v1"']


async def test_an_error_is_asked_for_once_and_told_to_all_who_waited(site: WebSite, trio: WebFleet) -> None:
    gate = asyncio.Event()

    async def failing(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.reply(503, {"Retry-After": "7"}, b"not now")

    site.at("/a", failing)
    asking = asyncio.gather(*(get(node, "/a") for node in trio.nodes))

    async def the_owner_is_asked_by_all() -> bool:
        return (await trio.owner("/a").metrics()).total("requests_in_flight") == 3

    await until(the_owner_is_asked_by_all, "both peers and a client ask the owner")
    gate.set()
    assert {(answer.status, answer.body, answer.headers["Retry-After"]) for answer in await asking} == {
        (503, b"not now", "7")
    }
    assert len(site.asked) == 1


async def test_an_owner_that_is_killed_costs_a_second_request_and_no_answer(site: WebSite, trio: WebFleet) -> None:
    owner, other, _ = trio.nodes
    target, gate = trio.owned(owner), asyncio.Event()

    async def slow_at_first(asked: Asked, wire: Wire) -> None:
        await wire.head(200, {**FRESH, "Content-Length": "10"})
        await wire.body(b"begun")
        if asked.number:
            gate.set()
        await gate.wait()
        await wire.body(b"ended")

    site.at(target, slow_at_first)
    asking = asyncio.create_task(get(other, target))
    await until(lambda: site.sent == 5, "the owner is asking")
    await owner.kill()
    answer = await asking
    assert (answer.status, answer.body) == (200, b"begunended")
    assert len(site.asked) == 2
    again = trio.owned(owner)
    assert (await get(other, again)).body == b"begunended"


async def test_an_owner_that_is_stopped_costs_its_silence_and_no_answer(site: WebSite, tmp_path: Path) -> None:
    """It takes connections, as the kernel does for it, and says nothing: SIGSTOP."""
    async with WebFleet.open(tmp_path, site.url, 3, **{"cluster.progress_timeout": "2s"}) as fleet:
        owner, other, third = fleet.nodes
        target = fleet.owned(owner)
        site.at(target, Reply(fields=FRESH))
        owner.signal(signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*(get(node, target) for node in (other, third) for _ in range(3)))
            assert {(answer.status, answer.body) for answer in answers} == {(200, b"ok")}
            assert len(site.asked) <= 2, "each of the others asks once"
            elsewhere = fleet.owned(other)
            site.at(elsewhere, Document(b"ok" * 100, FRESH, rate=2000))
            await asyncio.gather(*(get(node, elsewhere) for node in (other, third)))
            assert len(site.requests(elsewhere)) == 1, "what others own is asked for as ever"
        finally:
            owner.signal(signal.SIGCONT)
        assert (await get(owner, target)).body == b"ok"
        owned = (target for number in itertools.count(1) if fleet.owner(target := f"/{number}") is owner)

        async def is_asked_again() -> bool:
            place = next(owned)
            site.at(place, Reply(fields=FRESH))
            answers = await asyncio.gather(*(get(node, place) for node in (other, third)))
            return all("detail=owner" in answer.headers["Cache-Status"] for answer in answers)

        await until(is_asked_again, "the others ask the owner again", within=20.0)


async def test_a_write_through_one_node_is_seen_at_once_there(site: WebSite, trio: WebFleet) -> None:
    owner, other, _ = trio.nodes
    target = trio.owned(owner)
    site.at(target, Document(b"old", FRESH, etag='"1"'))
    assert [(await get(node, target)).body for node in trio.nodes] == [b"old"] * 3
    site.at(target, Document(b"new", FRESH, etag='"2"'))
    await ask(other.url, "POST", target, {}, b"change")
    assert (await get(other, target)).body == b"new"


async def test_9111_4_4_a_write_through_one_node_reaches_all(site: WebSite, tmp_path: Path) -> None:
    async with (
        RedisServer.open(tmp_path / "redis") as redis,
        WebFleet.open(tmp_path, site.url, 3, redis) as fleet,
    ):
        site.at("/a", Document(b"old", FRESH, etag='"1"'))
        assert {answer.body for answer in await herd(fleet, "/a", each=1)} == {b"old"}
        site.at("/a", Document(b"new", FRESH, etag='"2"'))
        await ask(fleet.nodes[0].url, "DELETE", "/a", {})
        await _all_have(fleet, "/a", b"new")


async def _all_have(fleet: WebFleet, target: str, content: bytes) -> None:
    async def is_everywhere() -> bool:
        return {answer.body for answer in await herd(fleet, target, each=1)} == {content}

    await until(is_everywhere, "all nodes have heard of it")


async def purge(node: Node, what: str) -> None:
    answer = await ask(
        f"http://{node.admin}", "POST", "/-/api/purge/responses", {"Content-Type": "application/json"}, what.encode()
    )
    assert answer.status == 200, answer.transcript


@pytest.mark.parametrize(
    "what",
    ['{"target": "/p/a"}', '{"prefix": "/p/"}', '{"tag": "blue"}', '{"tag": "blue", "soft": true}'],
    ids=["target", "prefix", "tag", "soft"],
)
async def test_a_purge_reaches_all_nodes(site: WebSite, tmp_path: Path, what: str) -> None:
    said = {**FRESH, "Surrogate-Key": "blue"}
    async with (
        RedisServer.open(tmp_path / "redis") as redis,
        WebFleet.open(tmp_path, site.url, 3, redis) as fleet,
    ):
        site.at("/p/a", Document(b"old", said, etag='"1"'))
        assert {answer.body for answer in await herd(fleet, "/p/a", each=1)} == {b"old"}
        site.at("/p/a", Document(b"new", said, etag='"2"'))
        await purge(fleet.nodes[0], what)
        assert (await get(fleet.nodes[0], "/p/a")).body == b"new", "here at once"
        await _all_have(fleet, "/p/a", b"new")
        assert len(site.requests("/p/a")) <= 3


async def test_without_redis_nodes_that_know_one_another_still_ask_once(site: WebSite, tmp_path: Path) -> None:
    async with (
        RedisServer.open(tmp_path / "redis") as redis,
        WebFleet.open(tmp_path, site.url, 3, redis) as fleet,
    ):
        site.at("/a", Document(b"thing" * 100, FRESH, rate=2000))
        await redis.kill()
        assert {answer.body for answer in await herd(fleet, "/a")} == {b"thing" * 100}
        assert len(site.asked) == 1
