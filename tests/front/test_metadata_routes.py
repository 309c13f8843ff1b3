"""The API: kept listings, passed calls, and what a mirror does not serve."""

from __future__ import annotations

import gzip
from dataclasses import replace

import orjson
import pytest

from proxy.config.schema import XetSection
from proxy.core.errors import OriginBusy, OriginUnreachable
from proxy.fetch.coordinator import CacheOutcome, Metadata
from proxy.front.limits import Limits
from proxy.front.metadata_routes import accepts_gzip
from proxy.hub.targets import PathsInfo, RepoInfo, Tree
from tests.front.fakes import REPO, FakeCoordinator
from tests.front.node import serving

TREE = "/api/models/acme/tiny/tree/main?recursive=true"
LONG = orjson.dumps([{"path": f"file-{n}"} for n in range(200)])


def _metadata(body: bytes, *fields: tuple[str, str], next_target: str | None = None, status: int = 200) -> Metadata:
    headers = (("content-type", "application/json"), *fields)
    return Metadata(status, headers, body, next_target, CacheOutcome.HIT, 3)


async def test_listing_is_passed_with_its_age_and_how_it_was_had(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(b'{"sha":1}', ("x-total-count", "7"))
    async with serving(coordinator) as node:
        answer = await node.ask("/api/models/acme/tiny")
    assert (answer.status, answer.body) == (200, b'{"sha":1}')
    assert answer.headers["cache-status"] == "penstock; hit"
    assert (answer.headers["age"], answer.headers["x-total-count"]) == ("3", "7")
    assert coordinator.calls == [("metadata", RepoInfo(REPO, None, ()), None)]


async def test_head_of_a_listing_has_its_length_and_no_body(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client() as client:
        await client.send("/api/models/acme/tiny", method="HEAD")
        answer = await client.answer("HEAD")
        assert answer.headers["content-length"] == str(len(coordinator.listing.body))
        await client.send("/-/livez")
        assert (await client.answer()).status == 200


async def test_next_page_is_at_our_absolute_address(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(b"[]", next_target="/api/models/acme/tiny/tree/main?cursor=a%2Bb")
    async with serving(coordinator) as node:
        answer = await node.ask(TREE)
    expected = '<http://mirror.test:8080/api/models/acme/tiny/tree/main?cursor=a%2Bb>; rel="next"'
    assert answer.headers["link"] == expected
    assert coordinator.calls[0][1] == Tree(REPO, coordinator.calls[0][1].revision, "", (("recursive", "true"),))  # type: ignore[attr-defined]


async def test_who_names_no_host_is_told_what_the_next_page_lacks(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(b"[]", next_target="/api/models/acme/tiny/tree/main?cursor=x")
    async with serving(coordinator) as node, node.client() as client:
        await client.write(f"GET {TREE} HTTP/1.0\r\n\r\n".encode())
        assert (await client.head()).status == 400, "the request's fault, not the origin's"


async def test_configured_address_wins_over_host(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(b"[]", next_target="/api/models/acme/tiny/tree/main?cursor=x")
    async with serving(coordinator, external_url="https://hub.example") as node:
        answer = await node.ask(TREE)
    assert answer.headers["link"].startswith("<https://hub.example/api/")


async def test_origin_s_own_next_link_never_reaches_a_client(coordinator: FakeCoordinator) -> None:
    foreign = ("link", '<https://huggingface.co/api/x?cursor=1>; rel="next", <https://a.test/>; rel="license"')
    coordinator.listing = _metadata(b"[]", foreign)
    async with serving(coordinator) as node:
        answer = await node.ask(TREE)
    assert answer.headers["link"] == '<https://a.test/>; rel="license"'


PARQUET = "/api/datasets/acme/rows/parquet"
FILES = orjson.dumps(
    {"default": {"train": [f"https://huggingface.co{PARQUET}/default/train/{n}.parquet" for n in (0, 1)]}}
)


@pytest.mark.parametrize(("external_url", "base"), [(None, "http://mirror.test:8080"), ("https://hub.example",) * 2])
async def test_parquet_files_are_listed_at_our_own_addresses(
    coordinator: FakeCoordinator, external_url: str | None, base: str
) -> None:
    coordinator.listing = _metadata(FILES)
    async with serving(coordinator, external_url=external_url) as node:
        answer = await node.ask(PARQUET)
    assert orjson.loads(answer.body) == {
        "default": {"train": [f"{base}{PARQUET}/default/train/{n}.parquet" for n in (0, 1)]}
    }


async def test_a_long_list_of_parquet_files_is_rewritten_too(coordinator: FakeCoordinator) -> None:
    places = [f"{PARQUET}/default/train/{n}.parquet" for n in range(2000)]
    coordinator.listing = _metadata(orjson.dumps(["https://huggingface.co" + place for place in places]))
    async with serving(coordinator) as node:
        answer = await node.ask(f"{PARQUET}/default/train")
    assert orjson.loads(answer.body) == ["http://mirror.test:8080" + place for place in places]


async def test_who_names_no_host_is_told_what_parquet_files_lack(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(FILES)
    async with serving(coordinator) as node, node.client() as client:
        await client.write(f"GET {PARQUET} HTTP/1.0\r\n\r\n".encode())
        assert (await client.head()).status == 400


async def test_a_refusal_in_the_place_of_parquet_files_stays_as_it_is(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(FILES, status=403)
    async with serving(coordinator) as node:
        answer = await node.ask(PARQUET)
    assert (answer.status, answer.body) == (403, FILES)


async def test_listing_has_a_strong_etag_and_is_not_sent_twice(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client() as client:
        await client.send(TREE)
        first = await client.answer()
        assert first.headers["etag"].startswith('"')
        await client.send(TREE, f"If-None-Match: {first.headers['etag']}")
        again = await client.answer()
        assert (again.status, again.headers["etag"]) == (304, first.headers["etag"])
        coordinator.listing = replace(coordinator.listing, body=b"{}")
        await client.send(TREE, f"If-None-Match: {first.headers['etag']}")
        assert (await client.answer()).status == 200


async def test_long_listing_is_compressed_for_who_takes_it(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(LONG)
    async with serving(coordinator) as node:
        plain = await node.ask(TREE)
        packed = await node.ask(TREE, "Accept-Encoding: gzip, deflate")
        known = await node.ask(TREE, "Accept-Encoding: gzip", f"If-None-Match: {packed.headers['etag']}")
    assert plain.body == LONG
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed.body) == LONG
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.headers["etag"] != plain.headers["etag"]
    assert known.status == 304


async def test_very_long_listing_is_compressed_off_the_loop_all_the_same(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(LONG * 100)
    async with serving(coordinator) as node:
        assert gzip.decompress((await node.ask(TREE, "Accept-Encoding: gzip")).body) == LONG * 100


async def test_short_listing_is_not_compressed(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        assert "content-encoding" not in (await node.ask(TREE, "Accept-Encoding: gzip")).headers


@pytest.mark.parametrize("field", ["gzip", "deflate, gzip", "GZIP;q=0.5", "*", "br, *;q=0.1"])
def test_gzip_is_taken(field: str) -> None:
    assert accepts_gzip(field)


@pytest.mark.parametrize("field", [None, "", "identity", "gzip;q=0", "gzip; q=0.0", "xgzip", "br"])
def test_gzip_is_not_taken(field: str | None) -> None:
    assert not accepts_gzip(field)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"paths=b&paths=a&expand=false"),
        ("application/json", b'{"paths":["b","a"],"expand":false}'),
    ],
)
async def test_paths_info_is_one_question_however_it_is_sent(
    coordinator: FakeCoordinator, content_type: str, body: bytes
) -> None:
    async with serving(coordinator) as node, node.client() as client:
        target = "/api/models/acme/tiny/paths-info/main"
        await client.send(target, f"Content-Type: {content_type}", method="POST", body=body)
        assert (await client.answer()).status == 200
        await client.send("/-/livez")
        assert (await client.answer()).status == 200
    ((_, asked, sent),) = coordinator.calls
    assert isinstance(asked, PathsInfo)
    assert isinstance(sent, bytes)
    assert orjson.loads(sent) == {"paths": ["a", "b"], "expand": False}


async def test_paths_info_after_100_continue(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node, node.client() as client:
        await client.write(
            b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nHost: m\r\nContent-Length: 7\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert (await client.head()).status == 100
        await client.write(b"paths=a")
        assert (await client.answer()).status == 200


async def test_long_body_is_refused_before_it_is_read(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(body_bytes=10)) as node:
        answer = await node.ask("/api/models/acme/tiny/paths-info/main", method="POST", body=b"paths=" + b"a" * 50)
    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_long_chunked_body_is_refused(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(body_bytes=10)) as node, node.client() as client:
        await client.write(
            b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"20\r\n" + b"a" * 32 + b"\r\n"
        )
        assert (await client.head()).status == 413


async def test_slow_body_is_given_up(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, Limits(body_timeout=0.2)) as node, node.client() as client:
        await client.write(
            b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\nHost: m\r\nContent-Length: 9\r\n\r\npat"
        )
        assert (await client.head()).status == 408


async def test_other_api_is_passed_with_its_status_and_never_kept(coordinator: FakeCoordinator) -> None:
    coordinator.listing = _metadata(b'{"error":"no"}', ("x-error-code", "GatedRepo"), status=403)
    async with serving(coordinator) as node:
        answer = await node.ask("/api/models?search=a%20b&limit=2", "Accept: application/json", "X-Evil: 1")
    assert (answer.status, answer.headers["x-error-code"]) == (403, "GatedRepo")
    assert "no-store" in answer.headers["cache-control"]
    ((_, method, raw_target, headers),) = coordinator.calls
    assert (method, raw_target) == ("GET", "/api/models?search=a%20b&limit=2")
    assert "X-Evil" not in dict(headers)  # type: ignore[call-overload]


@pytest.mark.parametrize("target", ["/api/whoami-v2", "/api/models/acme/tiny/auth-check"])
async def test_questions_about_the_caller_are_passed(coordinator: FakeCoordinator, target: str) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(target, "Authorization: Bearer hf_a")
    assert answer.status == 200
    assert coordinator.calls[0][2] == target
    assert not coordinator.callers[0].is_anonymous


async def test_without_the_facade_a_xet_token_is_a_clear_404(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator, xet=XetSection(facade=False)) as node:
        answer = await node.ask("/api/models/acme/tiny/xet-read-token/main")
    assert answer.status == 404
    assert "HF_HUB_DISABLE_XET" in answer.headers["x-error-message"]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/models/acme/tiny/commit/main"),
        ("DELETE", "/api/repos/delete"),
        ("POST", "/acme/tiny.git/info/lfs/locks"),
    ],
)
async def test_write_is_a_clear_403(coordinator: FakeCoordinator, method: str, target: str) -> None:
    async with serving(coordinator) as node:
        answer = await node.ask(target, method=method, body=b"{}")
    assert answer.status == 403
    assert "read-only" in answer.headers["x-error-message"]
    assert coordinator.calls == []


async def test_origin_away_is_a_502_on_the_api_and_a_429_on_a_file(coordinator: FakeCoordinator) -> None:
    coordinator.refuse = OriginUnreachable("the origin does not answer")
    async with serving(coordinator) as node:
        assert (await node.ask("/api/models/acme/tiny")).status == 502
        file = await node.ask("/acme/tiny/resolve/main/a.bin", method="HEAD")
    assert (file.status, file.headers["retry-after"]) == (429, "5")


async def test_busy_origin_s_wait_is_passed_on(coordinator: FakeCoordinator) -> None:
    coordinator.refuse = OriginBusy("rate limited", 33)
    async with serving(coordinator) as node:
        answer = await node.ask("/api/models/acme/tiny")
    assert (answer.status, answer.headers["retry-after"]) == (429, "33")


async def test_head_of_a_passed_on_call_tells_the_length_of_its_body(coordinator: FakeCoordinator) -> None:
    async with serving(coordinator) as node:
        got, head = await node.ask("/api/whoami-v2"), await node.ask("/api/whoami-v2", method="HEAD")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.body))
    assert [call[1] for call in coordinator.calls] == ["GET", "GET"]
