"""What is refused before anything looks at it; the table of bad requests is in test_payloads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.front.strictness import Head, refusal, valid_host
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import serving

H = "Host: m\r\n"
LINE = "GET /-/livez HTTP/1.1\r\n"
PAGES = "POST /api/models/a/b/paths-info/main HTTP/1.1\r\n" + H


async def test_tunnel_bytes_behind_a_connect_are_no_request(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client() as client:
        await client.write(b"CONNECT m:443 HTTP/1.1\r\nHost: m\r\n\r\nGET /-/livez HTTP/1.1\r\nHost: m\r\n\r\n")
        assert (await client.ended()).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND"])
async def test_other_methods_are_told_what_is_allowed(coordinator: FakeCoordinator, method: str) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(at_commit("a.bin"), method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_writing_to_a_file_is_not_allowed(coordinator: FakeCoordinator, method: str) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(at_commit("a.bin"), method=method, body=b"x")
    assert (answer.status, answer.headers["connection"]) == (405, "close")


OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"


async def test_an_offer_of_http_2_is_answered_in_http_1_and_ends_the_connection(coordinator: FakeCoordinator) -> None:
    """As Java's HttpClient and `curl --http2` make it. What comes before the answer goes unheard."""
    request = f"{LINE}{H}{OFFER}\r\n".encode()
    async with serving(coordinator) as node, node.client() as client:
        await client.write(request + request)
        answer = await client.ended()
    assert re.findall(rb"HTTP/[0-9.]+ [0-9]{3}", answer) == [b"HTTP/1.1 200"]
    assert b"\r\nConnection: close\r\n" in answer


async def test_an_offer_of_http_2_with_a_body_is_ignored_too(coordinator: FakeCoordinator) -> None:
    body = b'{"paths":["a"]}'
    head = f"{PAGES}{OFFER}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with serving(coordinator) as node, node.client() as client:
        await client.write(head.encode() + body)
        assert (await client.answer()).status == 200


async def test_unmet_expectation_is_417(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        assert (await node.ask("/-/livez", "Expect: the-impossible")).status == 417


async def test_http_1_0_without_host_is_served(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client() as client:
        await client.write(b"GET /-/livez HTTP/1.0\r\n\r\n")
        assert b" 200 OK\r\n" in await client.ended()


@pytest.mark.parametrize("host", ["mirror", "mirror.test:8080", "10.0.0.1", "[::1]:80", "hub_mirror", "a" * 250])
def test_hosts_that_are_hosts(host: str) -> None:
    assert valid_host(host)


@pytest.mark.parametrize("host", ["", ":80", "h:", "h:0", "h:65536", "[::1", "h\n", "-h", "é", "h:1:2", "h/"])
def test_hosts_that_are_none(host: str) -> None:
    assert not valid_host(host)


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "X"]), st.text(max_size=40), st.booleans())
def test_any_head_is_judged_without_a_failure(target: str, method: str, host: str, has_body: bool) -> None:
    fields = CIMultiDictProxy(CIMultiDict({"Host": host}))
    refusal(Head(method, "/" + target, (1, 1), fields, has_body))
