"""The fast lane of a real node beside one without: the same to clients, in its books and in its log."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp

from bench.hub.content import MIB
from tests.kit import conversations
from tests.kit.conversations import Conversation, Hot, asked, held
from tests.kit.files import Expected
from tests.kit.node import Node
from tests.kit.scrape import Page
from tests.kit.stage import Stage
from tests.kit.waiting import until

STEADY = {"freshness__ref_ttl": "1h", "freshness__allow_ttl": "300s", "freshness__deny_ttl": "10s"}
"""No fact is due while two nodes are compared."""
SUMS = (
    "http_requests_total",
    "time_to_first_byte_seconds_count",
    "transfer_duration_seconds_count",
    "response_size_bytes_count",
    "response_size_bytes_sum",
    "response_size_bytes_bucket",
    "connections",
    "requests_in_flight",
    "leaks_total",
)
TOLD = ("client", "method", "host", "route", "repo", "rev", "path", "status", "range", "bytes", "cache", "ua", "err")


async def test_both_lanes_answer_count_and_log_alike(stage: Stage) -> None:
    small, large = files(stage)
    hot = Hot(small.target(small.commit), large.target(large.commit), small.target("main"), f'"{small.etag}"')
    fast, full = await stage.node(**STEADY), await stage.node(hot__memory="0", **STEADY)
    stage.allow_origin(None)  # two nodes ask it, each for itself
    talks = [*conversations.large(hot), *conversations.plain(hot), *conversations.odd(hot)]
    for talk in [*talks, *talks]:
        await compare(fast, full, talk)
    for node in (fast, full):
        await stage.quiet(node)
    in_fast, in_full = await fast.metrics(), await full.metrics()
    assert summed(in_fast) == summed(in_full)
    assert in_fast.total("response_bytes_total", source="memory") > in_full.total(
        "response_bytes_total", source="memory"
    )
    assert in_fast.total("response_bytes_total") == in_full.total("response_bytes_total")
    for node in (fast, full):
        assert await stage.stop(node) == 0
    assert logged(fast) == logged(full)


async def test_what_is_purged_is_fetched_anew_by_every_worker(stage: Stage) -> None:
    small, _ = files(stage)
    node = await stage.node(workers=2, **STEADY)
    stage.others_ask()
    stage.allow_origin(None)  # it is purged
    talk = (asked(small.target(small.commit)),) * 4

    async def everybody_has_it() -> None:
        for heard in await asyncio.gather(*(held((node.data.host, node.data.port), talk) for _ in range(8))):
            assert [answer.first for answer in heard.answers] == ["HTTP/1.1 200 OK"] * 4

    await everybody_has_it()
    before = (await node.metrics()).total("fills_total", result="ok")
    async with aiohttp.ClientSession() as session:
        key = f"http://{node.admin}/-/api/purge?key=sha256:{small.sha256}"
        async with session.post(key, json={}) as answer:
            assert answer.status == 202

    async def fetched_anew() -> bool:
        await everybody_has_it()
        return (await node.metrics()).total("fills_total", result="ok") > before

    await until(fetched_anew, "it is fetched anew, though clients go on asking for it", 10.0)


def files(stage: Stage) -> tuple[Expected, Expected]:
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", b'{"hidden_size": 64}' * 30)
    repo.put_blob("model.safetensors", 2 * MIB)
    repo.commit("Upload")
    found = stage.file("acme/tiny", "config.json"), stage.file("acme/tiny", "model.safetensors")
    for file in found:
        stage.wants(file)
    stage.others_ask()
    return found


async def compare(fast: Node, full: Node, talk: Conversation) -> None:
    found, expected = [await held((node.data.host, node.data.port), talk) for node in (fast, full)]
    assert found.like() == expected.like(), talk


def summed(page: Page) -> dict[str, Any]:
    """What the books must agree in: not in how long it took, nor in where the bytes were."""
    return {name: sorted((sorted(labels.items()), value) for labels, value in page.matching(name)) for name in SUMS}


def logged(node: Node) -> Counter[str]:
    return Counter(repr({name: record.get(name) for name in TOLD}) for record in node.access_records())
