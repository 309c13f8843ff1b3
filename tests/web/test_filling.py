"""Cold parts, changed origins, and origins without ranges (HTTP-CACHE rows 26-35)."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.waiting import until
from tests.kit.webnode import WebNode
from tests.kit.weborigin import Asked, Document, WebSite, Wire

MIB = 1024 * 1024
SIZE = 6 * MIB + 123
CONTENT = bytes(index * 31 % 253 for index in range(SIZE))
OTHER = bytes(255 - byte for byte in CONTENT)

COLD: list[tuple[str, str, int, int]] = [
    ("in the middle", "bytes=3000000-3065535", 3_000_000, 3_065_536),
    ("at the beginning", "bytes=0-9", 0, 10),
    ("to the end", f"bytes={SIZE - 1000}-", SIZE - 1000, SIZE),
    ("the last ones", "bytes=-1000", SIZE - 1000, SIZE),
    ("over an edge of chunks", f"bytes={2 * MIB - 5}-{2 * MIB + 4}", 2 * MIB - 5, 2 * MIB + 5),
    ("beyond the end", f"bytes={SIZE - 5}-{SIZE + 99}", SIZE - 5, SIZE),
]


@pytest.mark.parametrize("row, field, start, stop", COLD, ids=[row[0] for row in COLD])
async def test_26_27_28_a_cold_range_is_right_costs_its_window_and_is_kept(
    site: WebSite, node: WebNode, row: str, field: str, start: int, stop: int
) -> None:
    site.at("/a", Document(CONTENT))
    for _ in range(2):
        answer = await node.get("/a", range=field)
        assert (answer.status, answer.body) == (206, CONTENT[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert site.sent <= 2 * MIB + 4096
    assert len(site.asked) <= 2


async def test_26_several_cold_ranges(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    answer = await node.get("/a", range="bytes=0-9,5000000-5000009")
    assert answer.status == 206
    assert CONTENT[:10] in answer.body
    assert CONTENT[5_000_000:5_000_010] in answer.body
    assert site.sent <= 3 * MIB


async def test_29_the_end_of_a_slow_body_comes_at_once(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT, rate=1e6))
    async with asyncio.timeout(5):
        assert (await node.get("/a", range="bytes=-1024")).body == CONTENT[-1024:]


async def test_30_9111_3_4_a_whole_get_fetches_what_is_missing(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    await node.get("/a", range=f"bytes=0-{3 * MIB - 1}")
    assert (await node.get("/a")).body == CONTENT
    assert site.sent == SIZE


async def test_30_9111_3_4_a_whole_get_stops_asking_where_the_rest_is_here(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    await node.get("/a", range=f"bytes={3 * MIB}-")
    assert (await node.get("/a")).body == CONTENT
    assert [one["Range"] for one in site.asked] == [f"bytes={3 * MIB}-", f"bytes=0-{3 * MIB - 1}"]
    assert site.sent == SIZE
    assert site.asked[-1]["If-Range"] == '"v1"'


async def test_31_32_a_changed_origin_is_never_mixed_and_whole_at_the_second_try(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    await node.get("/a", range=f"bytes=0-{3 * MIB - 1}")
    site.at("/a", Document(OTHER, etag='"v2"'))
    bodies = []
    for _ in range(2):
        try:
            bodies.append((await node.get("/a")).body)
        except Exception as error:  # noqa: BLE001 - a cut body is one of the right answers
            bodies.append(type(error).__name__.encode())
    assert bodies[1] == OTHER
    assert bodies[0] == OTHER or len(bodies[0]) < 100


async def test_31_9110_15_3_7_3_a_range_after_a_change_is_of_one_version(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    await node.get("/a", range="bytes=0-9")
    site.at("/a", Document(OTHER, etag='"v2"'))
    answer = await node.get("/a", range="bytes=5000000-5000009")
    assert (answer.status, answer.body) == (206, OTHER[5_000_000:5_000_010])
    assert answer.headers["ETag"] == '"v2"'


async def test_31_a_changed_length_is_another_version(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    await node.get("/a", range="bytes=0-9")
    site.at("/a", Document(CONTENT + b"more", etag='"v1"'))
    answer = await node.get("/a", range="bytes=5000000-5000009")
    assert answer.headers["Content-Range"] == f"bytes 5000000-5000009/{SIZE + 4}"


async def test_33_9111_3_4_a_missing_part_that_is_refused_is_no_short_body(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    await node.get("/a", range="bytes=0-9")

    async def refuse(asked: Asked, wire: Wire) -> None:
        await wire.reply(403, {}, b"no")

    site.at("/a", refuse)
    assert (await node.get("/a", range="bytes=5000000-5000009")).status == 403
    async with node.reading("/a") as answer:
        got = b""
        try:
            async for piece in answer.content.iter_any():
                got += piece
        except Exception:  # noqa: BLE001 - seen to be cut
            pass
        else:
            assert answer.status != 200
    assert CONTENT.startswith(got) or answer.status == 403


async def test_34_9110_14_2_an_origin_that_ignores_range(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT, ranges=False))
    for _ in range(2):
        answer = await node.get("/a", range="bytes=5000000-5000009")
        assert (answer.status, answer.body) == (206, CONTENT[5_000_000:5_000_010])
    assert len(site.asked) == 1


WRONG: list[tuple[str, dict[str, str]]] = [
    ("another range", {"Content-Range": f"bytes 5-14/{SIZE}"}),
    ("no Content-Range", {}),
    ("an unknown length", {"Content-Range": "bytes 0-1048575/*"}),
    ("no number", {"Content-Range": "bytes zero"}),
    ("several parts", {"Content-Type": "multipart/byteranges; boundary=x"}),
    ("a weak tag", {"Content-Range": f"bytes 0-1048575/{SIZE}", "ETag": 'W/"v1"'}),
    ("encoded", {"Content-Range": f"bytes 0-1048575/{SIZE}", "Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize("row, fields", WRONG, ids=[row[0] for row in WRONG])
async def test_35_9110_14_4_a_206_that_is_not_what_was_asked_for(
    site: WebSite, node: WebNode, row: str, fields: dict[str, str]
) -> None:
    """It is neither passed on nor kept: the whole is asked for."""
    whole = Document(CONTENT)

    async def lie(asked: Asked, wire: Wire) -> None:
        if asked["Range"] is None:
            await whole(asked, wire)
        else:
            given = {"ETag": '"v1"', "Cache-Control": "max-age=60", **fields}
            await wire.reply(206, given, b"x" * MIB)

    site.at("/a", lie)
    answer = await node.get("/a", range="bytes=100-199")
    assert (answer.status, answer.body) == (206, CONTENT[100:200])


async def test_4_416_of_the_origin(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT))
    answer = await node.get("/a", range=f"bytes={SIZE + 2 * MIB}-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


async def test_an_uncacheable_body_is_asked_for_as_the_client_asks(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT, {"Cache-Control": "no-store"}))
    for _ in range(2):
        answer = await node.get("/a", range="bytes=100-199")
        assert (answer.status, answer.body) == (206, CONTENT[100:200])
    assert site.asked[-1]["Range"] == "bytes=100-199"


async def test_without_a_strong_validator_it_is_read_as_a_whole(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(CONTENT, etag='W/"v1"'))
    assert (await node.get("/a")).body == CONTENT
    await until(lambda: len(site.asked) == 1, "one answer")
    part = await node.get("/a", range="bytes=5000000-5000009")
    assert (part.status, part.body) == (206, CONTENT[5_000_000:5_000_010])
    assert len(site.asked) == 1


@pytest.mark.parametrize("etag", [None, 'W/"v1"'], ids=["none", "weak"])
@pytest.mark.parametrize("first", ["bytes=0-9", "bytes=2000000-2000009"])
async def test_9111_3_4_parts_without_a_strong_validator_are_never_put_together(
    site: WebSite, node: WebNode, etag: str | None, first: str
) -> None:
    """RFC 9110 §15.3.7.3: two 206 under one weak tag, or none, may be of two versions."""
    old, new = b"o" * 3_000_000, b"n" * 3_000_000
    site.at("/a", Document(old, etag=etag))
    assert set((await node.get("/a", range=first)).body) == set(b"o")
    site.at("/a", Document(new, etag=etag))
    for field in ("bytes=1000000-1000009", "bytes=2999990-", "bytes=0-"):
        assert set((await node.get("/a", range=field)).body) == set(b"o")
    assert (await node.get("/a")).body == old
    assert [asked["If-Range"] for asked in site.asked] == [None] * len(site.asked)


async def test_9530_2_a_digest_of_a_part_is_told_of_no_other_content(site: WebSite, node: WebNode) -> None:
    document = Document(CONTENT)

    async def answering(asked: Asked, wire: Wire) -> None:
        told = {"Content-Digest": "sha-256=:part:", "Content-MD5": "part", "Repr-Digest": "sha-256=:all:"}
        document.fields = {"Cache-Control": "max-age=60", **(told if asked["Range"] else {})}
        await document(asked, wire)

    site.at("/a", answering)
    part = await node.get("/a", range="bytes=3000000-3000009")
    whole = await node.get("/a")
    assert (part.status, part.body, whole.body) == (206, CONTENT[3_000_000:3_000_010], CONTENT)
    for answer in (part, whole):
        assert "content-digest" not in answer.headers
        assert "content-md5" not in answer.headers
        assert answer.headers["repr-digest"] == "sha-256=:all:"
