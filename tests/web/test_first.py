"""A generic origin from end to end: kept, served, confirmed, passed on."""

from __future__ import annotations

from pathlib import Path

from tests.kit.webnode import WebNode, web_node
from tests.kit.weborigin import Document, Reply, WebSite

MIB = 1024 * 1024


async def test_a_small_answer_is_kept_and_served(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={"Cache-Control": "max-age=60"}, content=b"hello"))
    first, second = await node.get("/a"), await node.get("/a")
    assert (first.body, second.body) == (b"hello", b"hello")
    assert len(site.asked) == 1
    assert "hit" in second.headers["Cache-Status"]


async def test_a_stale_answer_is_confirmed_without_its_body(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(b"hello", {"Cache-Control": "max-age=0"}))
    await node.get("/a")
    second = await node.get("/a")
    assert (second.status, second.body) == (200, b"hello")
    assert site.asked[1]["If-None-Match"] == '"v1"'
    assert site.sent == 5


async def test_a_large_answer_is_one_plain_get(site: WebSite, node: WebNode) -> None:
    content = bytes(range(256)) * 4096 * 9
    site.at("/large", Document(content))
    assert (await node.get("/large")).body == content
    assert (await node.get("/large")).body == content
    assert [asked["Range"] for asked in site.asked] == [None]


async def test_what_may_not_be_kept_is_passed_on_each_time(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={"Cache-Control": "no-store"}))
    assert [(await node.get("/a")).body for _ in range(2)] == [b"ok", b"ok"]
    assert len(site.asked) == 2


async def test_a_post_passes_with_its_body(site: WebSite, node: WebNode) -> None:
    site.at("/form", Reply(201, {"Location": "/made"}, b"made"))
    answer = await node.get("/form", "POST", b"name=value")
    assert (answer.status, answer.body, answer.headers["Location"]) == (201, b"made", "/made")
    assert (site.asked[0].method, site.asked[0].body) == ("POST", b"name=value")


async def test_what_is_kept_survives_a_restart(site: WebSite, tmp_path: Path) -> None:
    content = bytes(3 * MIB)
    site.at("/small", Reply(fields={"Cache-Control": "max-age=60"}))
    site.at("/large", Document(content))
    for _ in range(2):
        async with web_node(tmp_path, site.url) as node:
            assert (await node.get("/small")).body == b"ok"
            assert (await node.get("/large")).body == content
    assert len(site.asked) == 2


async def test_the_base_of_the_origin_and_the_query_of_the_client_are_kept(site: WebSite, tmp_path: Path) -> None:
    """As before an object store: a bucket in the path, a version in the query."""
    site.at("/bucket/models/a", Reply(fields={"Cache-Control": "max-age=60"}))
    async with web_node(tmp_path, f"{site.url}/bucket/models") as node:
        await node.get("/a?versionId=1")
        await node.get("/a?versionId=1")
        await node.get("/a?versionId=2")
    assert [asked.target for asked in site.asked] == ["/bucket/models/a?versionId=1", "/bucket/models/a?versionId=2"]
