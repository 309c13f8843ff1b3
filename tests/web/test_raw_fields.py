"""Fields that are no ASCII (RFC 9110 §5.5): passed on to the byte, or refused, never changed."""

from __future__ import annotations

import pytest

from tests.kit.webnode import WebNode
from tests.kit.weborigin import Asked, Reply, WebSite, Wire
from tests.web.test_fields import raw

LATIN, UTF8, NEITHER = b"Jos\xe9", b"Jos\xc3\xa9", b"a\xff\xfe\x80b"
ENDING = b"Host: a\r\nConnection: close\r\n"


@pytest.mark.parametrize("policy", [b"max-age=60", b"no-store"])
@pytest.mark.parametrize("value", [LATIN, UTF8, NEITHER], ids=["latin-1", "utf-8", "neither"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_9110_5_5_an_answers_field_comes_to_the_byte(
    site: WebSite, node: WebNode, method: str, value: bytes, policy: bytes
) -> None:
    async def say(asked: Asked, wire: Wire) -> None:
        fields = b"Cache-Control: %b\r\nX-Name: %b\r\nCache-Tag: %b" % (policy, value, value)
        body = b"" if asked.method == "HEAD" else b"ok"
        await wire.raw(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\n%b" % (fields, body))

    site.at("/a", say)
    for _ in range(4):  # from the origin, from the store, from the fast lane
        got = await raw(node, b"%b /a HTTP/1.1\r\n%bContent-Length: 0\r\n\r\n" % (method.encode(), ENDING))
        plain = await raw(node, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /-/livez HTTP/1.1\r\n%b\r\n" % ENDING)
        for answer in (got, plain):
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nx-name: %b\r\n" % value in answer
    if policy == b"max-age=60":
        assert len(site.requests("/a", "GET")) <= 1 + 4 * (method == "POST")
        assert (await node.operate("explain", target="/a"))["decision"] == "serve"


@pytest.mark.parametrize("policy", ["max-age=60", "no-store"])
@pytest.mark.parametrize("body", [b"ok", bytes(100_000)], ids=["short", "long"])
async def test_9110_8_3_what_has_no_type_is_given_none(site: WebSite, node: WebNode, policy: str, body: bytes) -> None:
    site.at("/a", Reply(fields={"Cache-Control": policy}, content=body))
    for _ in range(4):  # from the origin, from the store, from the fast lane
        for method in (b"GET", b"HEAD", b"POST"):
            got = await raw(node, b"%b /a HTTP/1.1\r\n%bContent-Length: 0\r\n\r\n" % (method, ENDING))
            plain = await raw(node, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /-/livez HTTP/1.1\r\n%b\r\n" % ENDING)
            for answer in (got, plain):
                head = answer.partition(b"\r\n\r\n")[0]
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b"content-type" not in head.lower()


@pytest.mark.parametrize(("version", "interim"), [(b"1.0", b""), (b"1.1", b"HTTP/1.1 100 Continue\r\n\r\n")])
async def test_9110_10_1_1_a_client_of_before_1_1_is_not_told_to_continue(
    site: WebSite, node: WebNode, version: bytes, interim: bytes
) -> None:
    site.at("/a", Reply(fields={"Cache-Control": "no-store"}, content=b"ok"))
    got = await raw(
        node, b"POST /a HTTP/%b\r\n%bContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx" % (version, ENDING)
    )
    assert got.startswith(b"%bHTTP/%b 200 OK\r\n" % (interim, version))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_9110_5_5_a_requests_field_is_told_to_the_byte_or_refused(
    site: WebSite, node: WebNode, method: str
) -> None:
    site.at("/a", Reply(fields={"Cache-Control": "max-age=60", "Vary": "X-Name"}))
    for value, status in ((UTF8, b"200"), (LATIN, b"400"), (NEITHER, b"400")):
        head = b"%b /a HTTP/1.1\r\n%bX-Name: %b\r\nContent-Length: 0\r\n\r\n"
        got = await raw(node, head % (method.encode(), ENDING, value))
        assert got.startswith(b"HTTP/1.1 %b " % status)
    assert [(asked["X-Name"] or "").encode("latin-1") for asked in site.asked] == [UTF8]
