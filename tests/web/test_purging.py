"""Purges of a generic origin's responses, by target, prefix and tag; hard and soft."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.catalogue.catalogue import Catalogue
from proxy.catalogue.database import FILE
from proxy.core.blob import BlobKey
from proxy.core.clock import SystemClock
from proxy.core.purging import Below, Purge, Tagged, ThisTarget, Which
from proxy.fetch.web.places import place_of
from proxy.hub.notices import ResponsesPurged, decoded, encoded
from proxy.rfc9111.stored import SmallBody, StoredResponse
from tests.kit.waiting import until
from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Asked, Document, Reply, WebSite, Wire

MIB = 1024 * 1024
FRESH = {"Cache-Control": "max-age=600"}


async def warm(node: WebNode, *targets: str) -> None:
    for target in targets:
        await node.get(target)


def counts(site: WebSite, *targets: str) -> list[int]:
    return [len(site.requests(target)) for target in targets]


@pytest.mark.parametrize(
    ("which", "gone"),
    [
        ({"target": "/a/one"}, ["/a/one"]),
        ({"target": "http://mirror.example/a/one"}, ["/a/one"]),
        ({"prefix": "/a/"}, ["/a/one", "/a/two"]),
        ({"prefix": "/"}, ["/a/one", "/a/two", "/b/three"]),
        ({"tag": "red"}, ["/a/one", "/b/three"]),
        ({"tag": "re"}, []),
        ({"tag": "big,"}, []),
        ({"tag": "green"}, ["/a/two"]),
        ({"prefix": "/a/o"}, ["/a/one"]),
        ({"target": "/a"}, []),
    ],
)
async def test_what_is_purged_is_asked_for_anew_and_nothing_else(
    site: WebSite, node: WebNode, which: dict[str, str], gone: list[str]
) -> None:
    places = ("/a/one", "/a/two", "/b/three")
    site.at("/a/one", Reply(200, {**FRESH, "Surrogate-Key": "red big"}))
    site.at("/a/two", Reply(200, {**FRESH, "Cache-Tag": "green, blue"}))
    site.at("/b/three", Reply(200, {**FRESH, "Cache-Tag": "red"}))
    await warm(node, *places, *places)
    assert counts(site, *places) == [1, 1, 1]
    assert await node.operate("void", **which) == {"responses": len(gone), "soft": False, "dry_run": False}
    await warm(node, *places, *places)
    assert counts(site, *places) == [2 if place in gone else 1 for place in places]


async def test_all_variants_of_a_target_go(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(200, {**FRESH, "Vary": "Accept-Language"}))
    for language in ("de", "fr"):
        await node.get("/a", accept_language=language)
    assert (await node.operate("void", target="/a"))["responses"] == 2


async def test_a_soft_purge_has_it_confirmed_without_its_body(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(b"hello", FRESH))
    await warm(node, "/a", "/a")
    await node.operate("void", target="/a", soft=True)
    answers = [await node.get("/a") for _ in range(2)]
    assert [answer.body for answer in answers] == [b"hello", b"hello"]
    assert [asked["If-None-Match"] for asked in site.asked] == [None, '"v1"']
    assert site.sent == 5


async def test_a_variant_that_was_confirmed_once_is_asked_about_again(site: WebSite, node: WebNode) -> None:
    document = Document(b"old", {**FRESH, "Vary": "Accept-Language"})
    site.at("/a", document)
    await warm(node, "/a")
    await node.operate("void", target="/a", soft=True)
    assert (await node.get("/a")).body == b"old"
    document.content, document.etag = b"new", '"v2"'
    await node.operate("void", target="/a", soft=True)
    assert (await node.get("/a")).body == b"new"


async def test_a_softly_purged_response_serves_where_a_stale_one_may(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(200, {"Cache-Control": "max-age=600, stale-if-error=600"}, b"kept"))
    await warm(node, "/a")
    await node.operate("void", prefix="/", soft=True)
    site.at("/a", Reply(503, {}, b"away"))
    answer = await node.get("/a")
    assert (answer.status, answer.body) == (200, b"kept")
    assert "stale-if-error" in answer.headers["Cache-Status"]


async def test_what_was_asked_for_before_the_purge_is_not_kept_after(site: WebSite, node: WebNode) -> None:
    begun, purged = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        begun.set()
        await purged.wait()
        await wire.reply(200, FRESH, b"old")

    site.at("/a", slow)
    under_way = asyncio.ensure_future(node.get("/a"))
    await begun.wait()
    assert (await node.operate("void", prefix="/a"))["responses"] == 0
    purged.set()
    assert (await under_way).body == b"old"
    site.at("/a", Reply(200, FRESH, b"new"))
    assert (await node.get("/a")).body == b"new"


async def test_a_large_body_goes_with_its_head(site: WebSite, node: WebNode) -> None:
    content = bytes(3 * MIB)
    site.at("/a", Document(content))
    await warm(node, "/a")
    await node.operate("void", target="/a")
    assert (await node.get("/a")).body == content
    assert site.sent == 2 * len(content)


async def test_another_worker_of_the_node_sees_a_purge_at_once(site: WebSite, tmp_path: Path) -> None:
    site.at("/a", Reply(200, FRESH))
    async with web_node(tmp_path, site.url) as one, web_node(tmp_path, site.url, worker=1) as other:
        await warm(one, "/a")
        await warm(other, "/a")
        assert counts(site, "/a") == [1]
        await one.operate("void", target="/a")
        await warm(other, "/a")
        assert counts(site, "/a") == [2]


async def test_a_purge_that_comes_late_and_twice_spares_what_came_since(tmp_path: Path) -> None:
    body = SmallBody(BlobKey.sha256("a" * 64), 2)
    stored = StoredResponse(200, (("cache-tag", "red"),), (), 100.0, 101.0, body)
    place = place_of("o", "/a")
    async with Catalogue.open(tmp_path, clock=SystemClock()) as catalogue:
        heads = catalogue.responses
        await heads.keep(place, "o", "/a", stored)
        for at, count in ((99.0, 0), (99.0, 0), (100.0, 1), (100.0, 0)):
            for which in (Tagged("red"), ThisTarget("/a")):
                assert await heads.purge(Purge("other", which, at, soft=False)) == (0, ())
            assert await heads.purge(Purge("o", Tagged("red"), at, soft=False)) == (count, ())
        assert heads.at(place) == ()
        await heads.keep(place, "o", "/a", stored)
        assert heads.at(place) == ()
        await heads.keep(place, "o", "/a", replace(stored, requested_at=100.5))
        assert len(heads.at(place)) == 1


async def test_what_comes_late_changes_nothing_of_what_came_after(tmp_path: Path) -> None:
    """Two workers asked; the answer of the first is written down last."""
    body = SmallBody(BlobKey.sha256("a" * 64), 2)
    before = StoredResponse(200, (("cache-tag", "red"),), (), 100.0, 101.0, body)
    after = StoredResponse(200, (("cache-tag", "green"),), (), 102.0, 103.0, body)
    place = place_of("o", "/a")
    async with Catalogue.open(tmp_path, clock=SystemClock()) as catalogue:
        heads = catalogue.responses
        await heads.purge(Purge("o", ThisTarget("/a"), 101.5, soft=True))
        for stored in (after, before):
            await heads.keep(place, "o", "/a", stored)
        assert heads.at(place) == (after,)
        assert await heads.purge(Purge("o", Tagged("red"), 200.0, soft=False)) == (0, ())
        assert await heads.purge(Purge("o", Tagged("green"), 200.0, soft=False)) == (1, ())


async def test_what_was_dropped_while_the_disk_failed_does_not_come_back_with_the_disk(tmp_path: Path) -> None:
    stored = StoredResponse(200, (), (), 100.0, 101.0, SmallBody(BlobKey.sha256("a" * 64), 2))
    dropped, void, other = (place_of("o", target) for target in ("/dropped", "/void", "/other"))
    async with Catalogue.open(tmp_path, clock=SystemClock()) as catalogue:
        heads = catalogue.responses
        await heads.keep(dropped, "o", "/dropped", stored)
        await heads.keep(void, "o", "/void", stored)
        disk = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        disk.execute("CREATE TRIGGER full BEFORE DELETE ON responses BEGIN SELECT raise(ABORT, 'disk I/O error'); END")
        await heads.drop(dropped)
        await heads.void(void, "o", "/void", 150.0)
        assert (heads.at(dropped), heads.at(void)) == ((), ())
        disk.execute("DROP TRIGGER full")
        await heads.keep(other, "o", "/other", stored)
        assert (heads.at(dropped), heads.at(void)) == ((), ())
        rows = "SELECT target FROM responses"
        await until(lambda: disk.execute(rows).fetchall() == [("/other",)], "they are gone from the disk too")
        disk.close()
        await heads.keep(dropped, "o", "/dropped", replace(stored, requested_at=160.0))
        await until(lambda: len(heads.at(dropped)) == 1, "what is kept since is served again")


async def test_many_are_purged_round_by_round(tmp_path: Path) -> None:
    body = SmallBody(BlobKey.sha256("a" * 64), 2)
    async with Catalogue.open(tmp_path, clock=SystemClock()) as catalogue:
        heads = catalogue.responses
        stored = StoredResponse(200, (), (), 100.0, 101.0, body)
        for number in range(1100):
            target = f"/a/{number}"
            await heads.keep(place_of("o", target), "o", target, stored)
        soft = Purge("o", Below("/a/"), 200.0, soft=True)
        assert await heads.purge(soft) == (1100, ())
        assert [one.ended for one in heads.at(place_of("o", "/a/7"))] == [200.0]
        assert await heads.purge(Purge("o", Below("/a/"), 300.0, soft=False)) == (1100, ())


@pytest.mark.parametrize("which", [ThisTarget("/a?b=c"), Below("/"), Tagged("red")])
@pytest.mark.parametrize("soft", [True, False])
def test_a_purge_can_be_told(which: Which, soft: bool) -> None:
    notice = ResponsesPurged(Purge("https://data.example", which, 1_700_000_000.25, soft))
    assert decoded(encoded(notice)) == notice


@pytest.mark.parametrize(
    "arguments",
    [{}, {"target": "/a", "tag": "x"}, {"target": "ftp://x/a"}, {"target": "a"}, {"tag": " "}, {"prefix": "/\u00e9"}],
)
async def test_a_purge_of_nothing_in_particular_is_refused(node: WebNode, arguments: dict[str, str]) -> None:
    assert (await node.inside.operate("void", arguments)).status in (400, 404)
