"""What a request would be answered with, and by which rule."""

from __future__ import annotations

import pytest

from tests.kit.webnode import WebNode
from tests.kit.weborigin import Reply, WebSite

ROWS: list[tuple[str, dict[str, str], list[str], str, str]] = [
    ("9111 4.2 fresh", {"Cache-Control": "max-age=600"}, [], "serve", "fresh"),
    ("9111 4.2.4 stale", {"Cache-Control": "max-age=0"}, [], "revalidate", "stale"),
    ("9111 5.2.2.4 no-cache", {"Cache-Control": "no-cache, max-age=600"}, [], "revalidate", "no-cache"),
    ("9111 5.2.1.4 request", {"Cache-Control": "max-age=600"}, ["Cache-Control: no-cache"], "revalidate", "request"),
    ("9111 3 no-store", {"Cache-Control": "no-store"}, [], "forward", "uri-miss"),
    (
        "9111 5.2.1.7 only-if-cached",
        {"Cache-Control": "no-store"},
        ["cache-control: only-if-cached"],
        "not-cached",
        "only-if-cached",
    ),
    (
        "5861 3",
        {"Cache-Control": "max-age=0, stale-while-revalidate=60"},
        [],
        "serve-and-revalidate",
        "stale-while-revalidate",
    ),
    (
        "9111 4.1 vary",
        {"Cache-Control": "max-age=600", "Vary": "Accept-Language"},
        ["Accept-Language: fr"],
        "forward",
        "uri-miss",
    ),
]


@pytest.mark.parametrize(("fields", "asked", "decision", "rule"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
async def test_the_rule_is_told_and_the_origin_not_asked(
    site: WebSite, node: WebNode, fields: dict[str, str], asked: list[str], decision: str, rule: str
) -> None:
    site.at("/a", Reply(200, fields))
    await node.get("/a?b=c", accept_language="de")
    told = await node.operate("explain", target="http://mirror.example/a?b=c", fields=asked)
    assert (told["decision"], told["rule"]) == (decision, rule)
    assert (told["origin"], told["target"]) == (site.url, "/a?b=c")
    assert len(site.asked) == 1


async def test_what_is_kept_is_told(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(200, {"Cache-Control": "max-age=600", "Vary": "X", "Surrogate-Key": "red"}, b"hello"))
    await node.get("/a", x="1")
    await node.operate("void", tag="red", soft=True)
    told = await node.operate("explain", target="/a", fields=["x: 1"])
    assert told["rule"] == "stale"
    (kept,) = told["variants"]
    assert kept["selected"] is True
    assert kept["purged"] is True
    assert (kept["status"], kept["size"], kept["lifetime"]) == (200, 5, 600)
    assert (kept["varies"], kept["tags"]) == ({"x": "1"}, ["red"])
    assert kept["left"] <= 0 <= kept["age"] < 60


async def test_what_cannot_be_asked_is_not_explained(node: WebNode) -> None:
    for arguments in ({"target": "nothing"}, {"target": "/a", "fields": ["no field"]}, {"target": "ftp://x/a"}, {}):
        assert (await node.inside.operate("explain", arguments)).status == 400
