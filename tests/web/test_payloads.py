"""The table of bad requests, asked of a node before a generic origin: none is passed on as it should not be."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.kit.payloads import BEHIND, KINDS, REFUSED, Answers, Plane, payloads, surprises
from tests.kit.rawasking import statuses_of
from tests.kit.webnode import web_node
from tests.kit.weborigin import Reply, WebSite

_PASSED_ON: Answers = frozenset({(404, 200)})
WEB = Plane(
    b"/ok",
    b"/form",
    b"",
    b"/dir/",
    {
        # names that are another server's business, and are never decoded here
        ("path", "encoded backslash"): _PASSED_ON,
        ("path", "long segment"): _PASSED_ON,
        ("path", "dots and parameter"): REFUSED,
    },
)
BODIES = {b"hello", b"5\r\nhello\r\n0\r\n\r\n"}


@pytest.mark.parametrize("pieces", [1, 200])
async def test_a_bad_request_is_refused_or_reaches_the_origin_as_one(tmp_path: Path, pieces: int) -> None:
    table = list(payloads(WEB))
    async with WebSite.open() as site, web_node(tmp_path, site.url, limits__body_timeout="1s") as node:
        site.at("/ok", Reply(200, {"Cache-Control": "max-age=60"}))
        site.at("/form", Reply(200, {}, b"form"))
        place = urlsplit(node.url)
        assert place.hostname is not None
        assert place.port is not None
        said = []
        for kind in KINDS:
            some = [row for row in table if row.kind == kind]
            asked = (statuses_of(place.hostname, place.port, row.raw + BEHIND, pieces=pieces) for row in some)
            answers = await asyncio.gather(*asked)
            # A refusal may be lost on its way when what comes behind it meets a closed connection.
            said += [(row, heard) for row, heard in zip(some, answers, strict=True) if heard or pieces == 1]
    assert surprises([row for row, _ in said], [heard for _, heard in said]) == {}
    # A body that breaks off may have been passed on so far as it came; no whole one is another than was sent.
    assert {one.body for one in site.asked if one.method == "POST"} <= BODIES
    assert {one.method for one in site.asked} == {"GET", "POST"}
    assert not [one.target for one in site.asked if ".." in one.target or "%0" in one.target]
