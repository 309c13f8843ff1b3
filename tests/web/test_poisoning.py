"""What one client sends never decides what others get: fields that no key holds, targets that look alike, variants."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.rawasking import statuses_of
from tests.kit.webnode import WebNode
from tests.kit.weborigin import Asked, Reply, WebSite, Wire

FRESH = {"Cache-Control": "max-age=600"}
MOST_VARIANTS = 32

STEERING = [
    ("Forwarded", "host=evil.example;proto=http"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Server", "evil.example"),
    ("X-Forwarded-Port", "4444"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-Path", "/evil"),
    ("X-Forwarded-Uri", "/evil"),
    ("X-Forwarded-Scheme", "http"),
    ("X-Forwarded-Ssl", "off"),
    ("X-Forwarded-Proto", "nothttps"),
    ("X-Host", "evil.example"),
    ("X-Original-Host", "evil.example"),
    ("X-HTTP-Host-Override", "evil.example"),
    ("X-Original-URL", "/evil"),
    ("X-Original-URI", "/evil"),
    ("X-Rewrite-URL", "/evil"),
    ("X-Override-URL", "/evil"),
    ("X-HTTP-Method", "DELETE"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Method-Override", "HEAD"),
    ("X-Scheme", "http"),
    ("X-Url-Scheme", "http"),
    ("Front-End-Https", "off"),
    ("X-Envoy-Original-Path", "/evil"),
]
OTHERS = [("X-Forwarded-For", "192.0.2.7"), ("X-Real-IP", "192.0.2.7"), ("X-Forwarded-Proto", "https"), ("X-Own", "1")]


async def reflecting(asked: Asked, wire: Wire) -> None:
    """An origin that gives back all it was sent, and says nothing of Vary."""
    told = "\n".join(f"{name.lower()}: {value}" for name, value in asked.lines if name.lower() != "via")
    await wire.reply(200, FRESH, told.encode())


@pytest.mark.parametrize("name, value", STEERING, ids=[f"{row[0]}: {row[1]}" for row in STEERING])
async def test_what_names_another_host_target_scheme_or_method_stays_behind(
    site: WebSite, node: WebNode, name: str, value: str
) -> None:
    site.at("/a", reflecting)
    for method in ("HEAD", "GET"):
        await node.get("/a", method, **{name: value})
        assert site.asked[-1][name] is None
    assert name.lower() not in (await node.get("/a")).body.decode()
    assert len(site.asked) == 2


@pytest.mark.parametrize("name, value", OTHERS, ids=[row[0] for row in OTHERS])
async def test_what_a_proxy_before_us_says_of_the_client_goes_on(
    site: WebSite, node: WebNode, name: str, value: str
) -> None:
    site.at("/a", reflecting)
    await node.get("/a", **{name: value})
    assert site.asked[0][name] == value


async def test_other_methods_are_sent_as_they_are(site: WebSite, node: WebNode) -> None:
    """Nothing that they are answered with is kept."""
    site.at("/a", reflecting)
    await node.get("/a", "POST", b"x", X_HTTP_Method_Override="PATCH", X_Forwarded_Host="mirror.example")
    assert (site.asked[0]["X-HTTP-Method-Override"], site.asked[0]["X-Forwarded-Host"]) == ("PATCH", "mirror.example")


async def test_who_came_by_http_chooses_nothing_for_who_came_by_https(site: WebSite, node: WebNode) -> None:
    """An origin that redirects to https and does not say Vary: its redirect is for those it was meant for."""

    async def redirecting(asked: Asked, wire: Wire) -> None:
        if asked["X-Forwarded-Proto"] == "http":
            await wire.reply(301, {**FRESH, "Location": "https://mirror.example/a"})
        else:
            await wire.reply(200, FRESH, b"here")

    site.at("/a", redirecting)
    for _ in range(3):
        statuses = [(await node.get("/a", x_forwarded_proto=proto)).status for proto in ("HTTP", "http", "https")]
        assert [*statuses, (await node.get("/a")).status] == [301, 301, 200, 200]
    assert len(site.asked) == 3


async def test_the_host_that_a_client_names_is_not_the_origins(site: WebSite, node: WebNode) -> None:
    site.at("/a", reflecting)
    bodies = {(await node.get("/a", host=host)).body for host in ("evil.example", "mirror.example", "x.example:81")}
    assert len(bodies) == 1
    assert [asked["Host"] for asked in site.asked] == [f"127.0.0.1:{site.port}"]


async def test_a_field_that_stays_behind_selects_no_variant(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={**FRESH, "Vary": "X-Forwarded-Host"}))
    for number in range(3):
        await node.get("/a", x_forwarded_host=f"{number}.example")
    assert len(site.asked) == 1


TARGETS = ("/a/b", "/a%2Fb", "/a%2fb", "/A/b", "/a/B", "//a/b", "/a//b", "/a/b/", "/a/b;x", "/a/b??", "/a/%62")


async def test_targets_that_look_alike_are_not_taken_for_one_another(site: WebSite, node: WebNode) -> None:
    """Nor made one: what a server holds for the same is its business."""

    async def which(asked: Asked, wire: Wire) -> None:
        await wire.reply(200, FRESH, asked.target.encode())

    for target in TARGETS:
        site.at(target.partition("?")[0], which)
    for _ in range(2):
        assert [(await node.get(target)).body.decode() for target in TARGETS] == list(TARGETS)
    assert [asked.target for asked in site.asked] == list(TARGETS)


REFUSED = {
    "absolute form": b"GET http://evil.example/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute form of ours": b"GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a body of a GET": b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nevil",
    "a chunked body": b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "a method in small letters": b"get /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in two cases": b"Get /a HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("kept", [False, True], ids=["cold", "kept"])
@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
async def test_what_can_be_read_in_two_ways_gets_no_answer_and_changes_none(
    site: WebSite, node: WebNode, raw: bytes, kept: bool
) -> None:
    site.at("/a", reflecting)
    if kept:
        await node.get("/a")
    asked = len(site.asked)
    (status,) = await statuses_of(*node.address, raw)
    assert status in (400, 405)
    assert len(site.asked) == asked
    assert "evil" not in (await node.get("/a")).body.decode()
    assert len(site.asked) == 1


async def test_an_answer_that_does_not_say_how_long_it_is_fresh_is_given_to_nobody_else(
    site: WebSite, node: WebNode
) -> None:
    """A page of somebody under a name that looks like a file's (web cache deception)."""

    async def own(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.05)
        await wire.reply(200, {"Content-Type": "text/html"}, (asked["Cookie"] or "nobody").encode())

    site.at("/me/style.css", own)
    who = ["who=alice", "who=bob", "who=carol"]
    answers = await asyncio.gather(*(node.get("/me/style.css", cookie=cookie) for cookie in who))
    assert [answer.body.decode() for answer in answers] == who
    assert (await node.get("/me/style.css")).body == b"nobody"


async def test_variants_of_a_target_are_bounded(site: WebSite, node: WebNode) -> None:
    site.at("/a", Reply(fields={**FRESH, "Vary": "Accept-Language"}))
    tongues = [f"x-{number}" for number in range(MOST_VARIANTS + 8)]
    for tongue in tongues:
        await node.get("/a", accept_language=tongue)
    site.asked.clear()
    for tongue in reversed(tongues[-MOST_VARIANTS:]):
        await node.get("/a", accept_language=tongue)
    assert site.asked == []
    await node.get("/a", accept_language=tongues[0])
    assert len(site.asked) == 1
