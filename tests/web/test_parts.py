"""Ranges and conditions, answered from what is kept (HTTP-CACHE rows 1-24)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.asking import Answer
from tests.kit.webnode import WebNode
from tests.kit.weborigin import Document, WebSite

SMALL = bytes(index * 7 % 256 for index in range(1000))
LARGE = bytes(index * 13 % 251 for index in range(3_000_000))
CHANGED = "Mon, 06 Nov 2023 08:49:37 GMT"
LATER = "Tue, 07 Nov 2023 08:49:37 GMT"
EARLIER = "Sun, 05 Nov 2023 08:49:37 GMT"
FIELDS = {"Cache-Control": "max-age=60", "Last-Modified": CHANGED}

RANGES: list[tuple[str, str, int, int | None, int | None]] = [
    ("1 9110 §14.1.2 closed", "bytes=100-199", 206, 100, 200),
    ("1 9110 §14.1.2 open", "bytes=900-", 206, 900, 1000),
    ("1 9110 §14.1.2 suffix", "bytes=-50", 206, 950, 1000),
    ("2 9110 §14.1.2 beyond the end", "bytes=900-5000", 206, 900, 1000),
    ("3 9110 §14.1.2 a suffix longer than all", "bytes=-5000", 206, 0, 1000),
    ("4 9110 §15.5.17 unsatisfiable", "bytes=1000-", 416, None, None),
    ("5 9110 §14.1.2 the last no bytes", "bytes=-0", 416, None, None),
    ("6 9110 §14.2 garbage", "bytes=abc", 200, 0, 1000),
    ("6 9110 §14.2 reversed", "bytes=9-5", 200, 0, 1000),
    ("6 9110 §14.2 more digits than fit", f"bytes=0-{10**30}", 200, 0, 1000),
    ("7 9110 §14.2 another unit", "lines=0-5", 200, 0, 1000),
    ("9 9110 §17.15 overlaps are not amplified", "bytes=" + ",".join(["0-"] * 50), 200, 0, 1000),
    ("9 9110 §17.15 a thousand parts", "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 900, 2)), 200, 0, 1000),
]


@pytest.mark.parametrize("cold", [False, True], ids=["kept", "cold"])
@pytest.mark.parametrize("row, field, status, start, stop", RANGES, ids=[row[0] for row in RANGES])
async def test_range(
    site: WebSite, node: WebNode, row: str, field: str, status: int, start: int | None, stop: int | None, cold: bool
) -> None:
    site.at("/a", Document(SMALL, FIELDS))
    if not cold:
        await node.get("/a")
    answer = await node.get("/a", range=field)
    assert answer.status == status
    if status == 416:
        assert answer.headers["Content-Range"] == "bytes */1000"
        return
    assert answer.body == SMALL[start:stop]
    if status == 206:
        assert start is not None
        assert stop is not None
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1000"
        assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == ('"v1"', "max-age=60")
        assert "Date" in answer.headers
    assert cold or len(site.asked) == 1


async def test_8_9110_14_6_several_ranges_are_parts(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(SMALL, FIELDS))
    await node.get("/a")
    answer = await node.get("/a", range="bytes=0-9,500-509")
    assert answer.status == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert SMALL[:10] in answer.body
    assert SMALL[500:510] in answer.body


async def test_10_9110_14_2_head_ignores_range(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(SMALL, FIELDS))
    await node.get("/a")
    answer = await node.get("/a", "HEAD", range="bytes=0-9")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "1000")


async def test_12_ranges_of_what_is_kept_though_the_origin_has_none(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(LARGE, {**FIELDS, "Accept-Ranges": "none"}, ranges=False))
    await node.get("/a")
    answer = await node.get("/a", range="bytes=2000000-2000009")
    assert (answer.status, answer.body) == (206, LARGE[2_000_000:2_000_010])
    assert len(site.asked) == 1


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["short", "long"])
async def test_13_the_length_of_a_chunked_answer_is_known_later(site: WebSite, node: WebNode, content: bytes) -> None:
    site.at("/a", Document(content, FIELDS, chunked=True))
    assert (await node.get("/a")).body == content
    again, part = await node.get("/a"), await node.get("/a", range="bytes=-10")
    assert (again.headers["Content-Length"], again.body) == (str(len(content)), content)
    assert (part.status, part.body) == (206, content[-10:])
    assert len(site.asked) == 1


IF_RANGE: list[tuple[str, str, str, int]] = [
    ("14 9110 §13.1.5 the tag", '"v1"', "bytes=0-9", 206),
    ("15 9110 §13.1.5 another tag", '"v0"', "bytes=0-9", 200),
    ("15 9110 §13.1.5 a weak tag", 'W/"v1"', "bytes=0-9", 200),
    ("16 9110 §13.1.5 the date", CHANGED, "bytes=0-9", 206),
    ("16 9110 §13.1.5 an earlier date", EARLIER, "bytes=0-9", 200),
    ("16 9110 §13.1.5 a later date", LATER, "bytes=0-9", 200),
    ("17 9110 §13.2.2 before 416", '"v0"', "bytes=5000-", 200),
]


@pytest.mark.parametrize("row, tag, field, status", IF_RANGE, ids=[row[0] for row in IF_RANGE])
async def test_if_range(site: WebSite, node: WebNode, row: str, tag: str, field: str, status: int) -> None:
    site.at("/a", Document(SMALL, FIELDS))
    await node.get("/a")
    answer = await node.get("/a", range=field, if_range=tag)
    assert (answer.status, answer.body) == (status, SMALL[:10] if status == 206 else SMALL)


CONDITIONS: list[tuple[str, dict[str, str], int]] = [
    ("18 9110 §13.1.2 one", {"if_none_match": '"v1"'}, 304),
    ("18 9110 §13.1.2 weakly", {"if_none_match": 'W/"v1"'}, 304),
    ("18 9110 §13.1.2 a list", {"if_none_match": '"v0", "v1"'}, 304),
    ("18 9110 §13.1.2 *", {"if_none_match": "*"}, 304),
    ("18 9110 §13.1.2 none of them", {"if_none_match": '"v0"'}, 200),
    ("19 9110 §13.1.3 equal", {"if_modified_since": CHANGED}, 304),
    ("19 9110 §13.1.3 later", {"if_modified_since": LATER}, 304),
    ("19 9110 §13.1.3 earlier", {"if_modified_since": EARLIER}, 200),
    ("20 9110 §13.1.3 the tag beats the date", {"if_none_match": '"v0"', "if_modified_since": LATER}, 200),
    ("21 9110 §13.2.2 304 beats 206", {"if_none_match": '"v1"', "range": "bytes=0-9"}, 304),
    ("21 9110 §13.2.2 304 beats 416", {"if_none_match": '"v1"', "range": "bytes=5000-"}, 304),
    ("22 9110 §13.1.1 If-Match", {"if_match": '"v0"'}, 412),
    ("22 9110 §13.1.1 If-Match holds", {"if_match": '"v1"'}, 200),
    ("22 9110 §13.1.4 If-Unmodified-Since", {"if_unmodified_since": EARLIER}, 412),
]


@pytest.mark.parametrize("row, fields, status", CONDITIONS, ids=[row[0] for row in CONDITIONS])
async def test_condition(site: WebSite, node: WebNode, row: str, fields: dict[str, str], status: int) -> None:
    site.at("/a", Document(SMALL, FIELDS))
    await node.get("/a")
    answer = await node.get("/a", **fields)
    assert answer.status == status
    assert len(site.asked) == 1
    if status == 304:
        assert (answer.headers["ETag"], answer.body) == ('"v1"', b"")
        assert "Content-Length" not in answer.headers or answer.headers["Content-Length"] == "1000"


async def test_9110_8_8_1_a_weak_tag_confirms_and_vouches_for_no_part(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(SMALL, {"Cache-Control": "max-age=60"}, etag='W/"v1"'))
    await node.get("/a")
    assert (await node.get("/a", if_none_match='W/"v1"')).status == 304
    assert (await node.get("/a", if_match='"v1"')).status == 412
    assert (await node.get("/a", range="bytes=0-9", if_range='W/"v1"')).status == 200


@pytest.mark.parametrize("field", [None, "bytes=0-9"])
async def test_23_9111_4_3_a_stale_answer_is_confirmed(site: WebSite, node: WebNode, field: str | None) -> None:
    site.at("/a", Document(SMALL, {"Cache-Control": "max-age=0"}))
    await node.get("/a")
    answer = await (node.get("/a") if field is None else node.get("/a", range=field))
    assert (answer.status, answer.body) == ((200, SMALL) if field is None else (206, SMALL[:10]))
    assert site.asked[1]["If-None-Match"] == '"v1"'
    assert site.asked[1]["Range"] is None
    assert site.sent == 1000


async def test_24_9111_4_head_from_a_kept_get(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(SMALL, FIELDS))
    whole: Answer = await node.get("/a")
    head = await node.get("/a", "HEAD")
    assert head.headers["Content-Length"] == "1000"
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert len(site.asked) == 1


async def test_25_a_cold_head_pulls_no_body(site: WebSite, node: WebNode) -> None:
    site.at("/a", Document(LARGE, FIELDS))
    answer = await node.get("/a", "HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(LARGE)))
    assert [asked.method for asked in site.asked] == ["HEAD"]


async def test_206_keeps_no_digest_of_the_whole(site: WebSite, node: WebNode, tmp_path: Path) -> None:
    """Rows 59, 60: RFC 9530 §2, §3."""
    digests = {"Repr-Digest": "sha-256=:a:", "Content-Digest": "sha-256=:b:", "Content-MD5": "c", "Digest": "d"}
    site.at("/a", Document(SMALL, {**FIELDS, **digests}))
    whole, part = await node.get("/a"), await node.get("/a", range="bytes=0-9")
    assert {name: whole.headers.get(name) for name in digests} == digests
    assert {name for name in digests if name in part.headers} == {"Repr-Digest"}
