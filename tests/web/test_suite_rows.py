"""What the public suite of cache tests found: each a row of its own here."""

from __future__ import annotations

import pytest

from tests.kit.webnode import WebNode
from tests.kit.weborigin import Document, Reply, WebSite

FRESH = {"Cache-Control": "max-age=60"}
CHANGED = {**FRESH, "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}


@pytest.mark.parametrize(
    "since", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
async def test_9110_5_6_7_a_date_of_a_condition_in_any_form(site: WebSite, node: WebNode, since: str) -> None:
    site.at("/a", Reply(200, CHANGED))
    await node.get("/a")
    assert (await node.get("/a", if_modified_since=since)).status == 304
    assert len(site.requests("/a")) == 1


async def test_9111_3_2_a_304_does_not_change_the_digest_of_what_is_kept(site: WebSite, node: WebNode) -> None:
    document = Document(b"x" * 100, {"Cache-Control": "no-cache", "Content-MD5": "first", "X": "first"})
    site.at("/a", document)
    await node.get("/a")
    document.fields = {"Cache-Control": "no-cache", "Content-MD5": "second", "X": "second"}
    answer = await node.get("/a")
    assert (answer.headers["content-md5"], answer.headers["x"]) == ("first", "second")
    assert site.sent == 100


async def test_9110_14_4_a_content_range_of_a_whole_is_kept_and_never_on_a_part(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(200, {**FRESH, "Content-Range": "odd"}, b"0123456789"))
    await node.get("/a")
    assert (await node.get("/a")).headers["content-range"] == "odd"
    assert (await node.get("/a", range="bytes=2-3")).headers["content-range"] == "bytes 2-3/10"
    assert (await node.get("/a", range="bytes=20-")).headers["content-range"] == "bytes */10"
