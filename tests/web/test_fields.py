"""Fields on their way in both directions (HTTP-CACHE rows 54-61), and messages of every framing."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.webnode import WebNode
from tests.kit.weborigin import Asked, Document, Reply, WebSite, Wire

FRESH = {"Cache-Control": "max-age=3600"}
LONG_AGO = "Mon, 06 Nov 2023 08:49:37 GMT"


@pytest.mark.parametrize("field", [None, "bytes=0-1"], ids=["whole", "part"])
async def test_54_9111_5_1_age_of_the_caches_before_us_and_our_own(
    site: WebSite, node: WebNode, field: str | None
) -> None:
    site.at("/a", Reply(fields={**FRESH, "Age": "100"}))
    first = await node.get("/a")
    second = await (node.get("/a") if field is None else node.get("/a", range=field))
    assert 100 <= int(first.headers["Age"]) <= int(second.headers["Age"]) <= 110
    assert second.headers.getall("Age") == [second.headers["Age"]]


async def test_55_9110_6_6_1_the_date_is_the_origins(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={"Cache-Control": "max-age=999999999", "Date": LONG_AGO}))
    for _ in range(2):
        assert (await node.get("/a")).headers["Date"] == LONG_AGO
    assert len(site.asked) == 1


async def test_55_9110_6_6_1_a_date_is_made_where_there_is_none(site: WebSite, node: WebNode) -> None:
    async def dateless(asked: Asked, wire: Wire) -> None:
        await wire.reply(200, FRESH, b"ok")

    site.at("/a", dateless)
    first = (await node.get("/a")).headers["Date"]
    await asyncio.sleep(1.1)
    assert (await node.get("/a")).headers["Date"] == first


async def test_56_9110_7_6_3_via_both_ways(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={**FRESH, "Via": "1.1 behind"}))
    answer = await node.get("/a", via="1.0 before")
    assert site.asked[0]["Via"] == "1.0 before, 1.1 penstock"
    assert answer.headers["Via"] == "1.1 behind, 1.1 penstock"
    assert (await node.get("/a")).headers["Via"] == "1.1 behind, 1.1 penstock"


async def test_57_9211_cache_status_is_added_to_that_of_others(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={**FRESH, "Cache-Status": "behind; hit"}))
    first, second = await node.get("/a"), await node.get("/a")
    assert first.headers["Cache-Status"] == "behind; hit, penstock; fwd=uri-miss; fwd-status=200; stored"
    assert second.headers["Cache-Status"].startswith("behind; hit, penstock; hit; ttl=")


async def test_58_9110_7_6_1_fields_of_one_connection_stay_behind(site: WebSite, node: WebNode) -> None:
    hop = {"Connection": "X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "Proxy-Authenticate": "Basic", "X-Own": "1"}
    site.at("/a", Reply(fields={**FRESH, **hop}))
    first, second = (
        await node.get("/a", connection="X-Mine", x_mine="1", te="trailers", x_end="1"),
        await node.get("/a"),
    )
    assert site.asked[0]["X-Mine"] is None
    assert site.asked[0]["TE"] is None
    assert site.asked[0]["X-End"] == "1"
    for answer in (first, second):
        assert {name for name in hop if name in answer.headers} == {"X-Own"}


async def test_9110_the_hosts_own_name_is_asked_for(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply())
    await node.get("/a")
    assert site.asked[0]["Host"] == f"127.0.0.1:{site.port}"


async def test_fields_that_nobody_knows_and_repeated_ones_pass(site: WebSite, node: WebNode) -> None:
    async def twice(asked: Asked, wire: Wire) -> None:
        await wire.raw(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-A: 1\r\nX-A: 2\r\nLink: </b>; rel=next\r\n"
            b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nServer: mine\r\nContent-Length: 2\r\n\r\nok"
        )

    site.at("/a", twice)
    for _ in range(2):
        answer = await node.get("/a")
        assert answer.headers.getall("X-A") == ["1", "2"]
        assert answer.headers.getall("Set-Cookie") == ["a=b", "c=d"]
        assert answer.headers["Server"] == "mine"


async def test_9110_15_2_interim_answers_are_neither_kept_nor_taken_for_the_answer(
    site: WebSite, node: WebNode
) -> None:
    async def hints(asked: Asked, wire: Wire) -> None:
        await wire.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        await wire.reply(200, FRESH, b"ok")

    site.at("/a", hints)
    for _ in range(2):
        answer = await node.get("/a")
        assert (answer.status, answer.body) == (200, b"ok")
        assert "Link" not in answer.headers
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
async def test_9111_4_2_2_statuses_that_are_kept_with_their_body(site: WebSite, node: WebNode, status: int) -> None:
    site.at("/a", Reply(status, {"Last-Modified": LONG_AGO, "Location": "/b"}, b"" if status == 204 else b"said"))
    for _ in range(2):
        answer = await node.get("/a")
        assert (answer.status, answer.body) == (status, b"" if status == 204 else b"said")
    assert len(site.asked) == 1


async def test_an_empty_body_is_kept(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields=FRESH, content=b""))
    for _ in range(2):
        answer = await node.get("/a")
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    assert len(site.asked) == 1


async def test_an_encoded_body_is_kept_as_it_is(site: WebSite, node: WebNode) -> None:
    coded = {**FRESH, "Content-Encoding": "gzip", "Vary": "Accept-Encoding", "ETag": '"g"'}
    content = bytes(2_000_000)
    site.at("/a", Reply(fields=coded, content=content))
    for _ in range(2):
        answer = await node.get("/a", accept_encoding="gzip")
        assert (answer.body, answer.headers["Content-Encoding"]) == (content, "gzip")
    assert len(site.asked) == 1
    await node.get("/a", accept_encoding="br")
    assert len(site.asked) == 2


async def raw(node: WebNode, request: bytes) -> bytes:
    """What comes back until the node closes, or says no more for a while."""
    host, _, port = node.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    got = b""
    try:
        async with asyncio.timeout(2):
            while piece := await reader.read(65536):
                got += piece
    except TimeoutError:
        pass
    finally:
        writer.close()
    return got


@pytest.mark.parametrize("fields", [FRESH, {"Cache-Control": "no-store"}], ids=["kept", "passed"])
async def test_65_9112_6_1_nothing_chunked_to_http_1_0(site: WebSite, node: WebNode, fields: dict[str, str]) -> None:
    site.at("/a", Document(b"said" * 1000, fields, chunked=True))
    got = await raw(node, b"GET /a HTTP/1.0\r\nHost: here\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body == b"said" * 1000


REFUSED: list[tuple[str, bytes]] = [
    (
        "62 9112 §6.1 CL and TE",
        b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("63 9112 §3.2 no Host", b"GET /a HTTP/1.1\r\n\r\n"),
    ("63 9112 §3.2 two Hosts", b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("9112 §3 two blanks", b"GET  /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("9110 §2.5 another version", b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("9110 §2.5 no version", b"GET /a\r\nHost: a\r\n\r\n"),
    ("64 9112 §2.2 bare LF", b"GET /a HTTP/1.1\nHost: a\n\n"),
    ("64 9112 §5.2 obs-fold", b"GET /a HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
    ("dot segments", b"GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("dot segments, encoded", b"GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n"),
]


@pytest.mark.parametrize("row, request_", REFUSED, ids=[row[0] for row in REFUSED])
async def test_what_can_be_read_in_two_ways_is_refused(site: WebSite, node: WebNode, row: str, request_: bytes) -> None:
    got = await raw(node, request_ + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
    assert got.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert got.count(b"HTTP/") == 1
    assert site.asked == []
