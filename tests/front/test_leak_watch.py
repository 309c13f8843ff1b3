"""The self-test on every answer: what leads away is counted, once an answer."""

from __future__ import annotations

import pytest

from proxy.core.errors import OriginRefused
from proxy.fetch.coordinator import CacheOutcome, Metadata
from tests.front.fakes import FakeCoordinator
from tests.front.node import serving

INFO = "/api/models/acme/tiny"
AWAY = "https://cas.elsewhere.test/xet?sig=s"


def listing(body: bytes, *fields: tuple[str, str]) -> Metadata:
    return Metadata(200, (("content-type", "application/json"), *fields), body, None, CacheOutcome.HIT, 0)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_what_leads_away_is_counted_once(coordinator: FakeCoordinator, encoding: str) -> None:
    body = b'{"casUrl": "%s", "refreshUrl": "%s", "pad": "%s"}' % (AWAY.encode(), AWAY.encode(), b"x" * 3000)
    coordinator.listing = listing(body, ("x-xet-cas-url", AWAY))
    async with serving(coordinator) as node:
        await node.ask(INFO, f"Accept-Encoding: {encoding}")
        await node.books.settled()
        assert node.books.leaks == 1


async def test_a_refusal_that_leads_away_is_counted(coordinator: FakeCoordinator) -> None:
    coordinator.refuse = OriginRefused(401, "no", headers=(("www-authenticate", f'Bearer realm="{AWAY}"'),))
    async with serving(coordinator) as node:
        await node.ask(INFO)
        await node.books.settled()
        assert node.books.leaks == 1


async def test_our_own_pages_and_what_authors_wrote_are_none(coordinator: FakeCoordinator) -> None:
    coordinator.listing = Metadata(
        200,
        (("content-type", "application/json"),),
        b'{"cardData": {"casUrl": "%s"}, "avatar": "https://huggingface.co/a.png"}' % AWAY.encode(),
        "/api/models/acme/tiny/tree/main?cursor=x",
        CacheOutcome.HIT,
        0,
    )
    async with serving(coordinator) as node:
        await node.ask(INFO)
        await node.books.settled()
        assert node.books.leaks == 0
