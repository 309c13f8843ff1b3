"""The fast lane beside the full one: the same conversations with both, the same answers and the same books."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.config.schema import HotSection, XetSection
from proxy.core.changes import Changes
from proxy.core.clock import ManualClock
from proxy.core.errors import OriginRefused
from proxy.core.sizes import KIB, MIB
from proxy.fetch.coordinator import CacheOutcome
from proxy.front.hot import HOLD
from proxy.front.limits import Limits
from proxy.front.observer import Exchange
from tests.front.fakes import FakeCoordinator, at_commit
from tests.front.node import Node, serving, until
from tests.kit import conversations
from tests.kit.conversations import Conversation, Hot, held

LIMITS = Limits(header_timeout=2.0)
AT_A_TIME = 32
"""Conversations; some wait for a deadline."""


@contextlib.asynccontextmanager
async def with_lane(
    coordinator: FakeCoordinator,
    limits: Limits = LIMITS,
    *,
    fresh_for: float = 60.0,
    memory: int = MIB,
    changes: Changes | None = None,
    **options: Any,
) -> AsyncIterator[Node]:
    coordinator.fresh_for = fresh_for
    hot = HotSection(memory=memory)
    async with serving(coordinator, limits, hot=hot, changes=changes or Changes(), **options) as node:
        yield node


def filled(coordinator: FakeCoordinator) -> Hot:
    small = coordinator.add("config.json", b'{"hidden_size": 64}' * 30, linked=False)
    coordinator.add("model.bin", os.urandom(2 * MIB))
    branch = "/acme/tiny/resolve/main/config.json"
    return Hot(at_commit("config.json"), at_commit("model.bin"), branch, f'"{small.etag}"')


def like(exchange: Exchange) -> Exchange:
    """Without times and ids, and wherever the bytes came from: the fast lane's are in memory."""
    seconds = None if exchange.first_byte_seconds is None else 0.0
    sent = sum(count for _, count in exchange.sent)
    return replace(exchange, request_id="", first_byte_seconds=seconds, seconds=0.0, sent=((None, sent),))  # type: ignore[arg-type]


async def compared(coordinator: FakeCoordinator, talks: list[Conversation]) -> int:
    """Have every conversation twice with either lane; how many requests the fast lane answered."""
    async with serving(coordinator, LIMITS) as full, with_lane(coordinator) as fast:
        crowd = asyncio.Semaphore(AT_A_TIME)

        async def compare(talk: Conversation) -> None:
            async with crowd:
                expected, found = await asyncio.gather(held(full.address, talk), held(fast.address, talk))
            assert found.like() == expected.like(), talk

        for _ in range(2):
            await asyncio.gather(*map(compare, talks))
        await asyncio.gather(full.books.settled(), fast.books.settled())
        in_full, in_fast = (sorted(map(repr, map(like, node.books.exchanges))) for node in (full, fast))
        assert in_fast == in_full
        assert sum(fast.books.sent.values()) == sum(full.books.sent.values())
        return fast.books.at_once


async def test_plain_requests_are_answered_alike(coordinator: FakeCoordinator) -> None:
    talks = list(conversations.plain(filled(coordinator)))
    assert await compared(coordinator, talks) > 40


async def test_large_files_and_their_parts_are_answered_alike(coordinator: FakeCoordinator) -> None:
    await compared(coordinator, list(conversations.large(filled(coordinator))))


async def test_odd_requests_are_answered_alike(coordinator: FakeCoordinator) -> None:
    await compared(coordinator, list(conversations.odd(filled(coordinator))))


async def test_requests_in_pieces_or_in_one_another_are_answered_alike(coordinator: FakeCoordinator) -> None:
    assert await compared(coordinator, list(conversations.joined(filled(coordinator)))) > 100


async def test_what_was_answered_once_is_answered_from_memory(coordinator: FakeCoordinator) -> None:
    hot = filled(coordinator)
    async with with_lane(coordinator) as node, node.client() as client:
        for _ in range(20):
            await client.send(hot.small)
            assert (await client.answer()).body == b'{"hidden_size": 64}' * 30
        # one is let through now and then to make the next copy
        assert len(coordinator.callers) < 10
        assert node.books.at_once > 10
        assert {exchange.client for exchange in node.books.exchanges} == {"127.0.0.1"}
        assert {exchange.host for exchange in node.books.exchanges} == {"mirror.test:8080"}
        await until(lambda: node.books.summed == node.books.at_once)


async def test_what_everybody_may_read_is_answered_at_once_to_a_bearer_of_any_token(
    coordinator: FakeCoordinator,
) -> None:
    hot = filled(coordinator)
    async with with_lane(coordinator) as node:
        plain = await node.ask(hot.small)
        for token in ("hf_member", "hf_stranger"):
            answer = await node.ask(hot.small, f"Authorization: Bearer {token}")
            assert (answer.status, answer.body) == (200, plain.body)
        assert node.books.at_once == 2
        assert not any(b"hf_" in head for head in node.gate.lane._heads)


async def test_what_is_taken_back_is_asked_for_anew(coordinator: FakeCoordinator) -> None:
    hot, changes = filled(coordinator), Changes()
    async with with_lane(coordinator, changes=changes) as node:
        assert (await node.ask(hot.branch)).status == (await node.ask(hot.branch)).status == 307
        assert node.books.at_once == 1
        coordinator.refuse = OriginRefused(401, "closed", code="RepoNotFound")
        changes.happened()
        assert (await node.ask(hot.branch)).status == 401


async def test_an_answer_is_given_again_for_a_second_at_most(coordinator: FakeCoordinator) -> None:
    hot, clock = filled(coordinator), ManualClock()
    async with with_lane(coordinator, clock=clock) as node:
        await node.ask(hot.small)
        clock.advance(HOLD * 0.49)
        await node.ask(hot.small)
        assert len(coordinator.callers) == 1
        coordinator.add("config.json", b"{}", linked=False)
        clock.advance(HOLD * 0.02)  # this one goes for a new copy
        assert (await node.ask(hot.small)).body == b"{}"
        clock.advance(HOLD)
        coordinator.refuse = OriginRefused(404, "gone", code="RepoNotFound")
        assert (await node.ask(hot.small)).status == 404


async def test_an_answer_is_given_again_no_longer_than_its_facts_hold(coordinator: FakeCoordinator) -> None:
    hot, clock = filled(coordinator), ManualClock()
    async with with_lane(coordinator, clock=clock, fresh_for=0.2) as node:
        await node.ask(hot.small)
        await node.ask(hot.small)
        assert len(coordinator.callers) == 1
        clock.advance(0.2)
        await node.ask(hot.small)
        assert len(coordinator.callers) == 2


@pytest.mark.parametrize("fact", ["miss", "xet", "closed", "basic", "unknown"])
async def test_what_is_not_for_everybody_or_not_here_is_never_kept(coordinator: FakeCoordinator, fact: str) -> None:
    hot, fields = filled(coordinator), ()
    if fact == "miss":
        coordinator.cache = CacheOutcome.MISS
    elif fact == "xet":
        coordinator.add("config.json", b"{}", xet="a" * 64)
    elif fact == "closed":
        coordinator.is_open = False
        fields = ("Authorization: Bearer hf_member",)
    elif fact == "basic":
        fields = ("Authorization: Basic dXNlcjpoZl9tZW1iZXI=",)
    fresh_for = 0.0 if fact == "unknown" else 60.0
    async with with_lane(coordinator, fresh_for=fresh_for, xet=XetSection(advertise_above=0)) as node:
        for _ in range(3):
            assert (await node.ask(hot.small, *fields)).status == 200
        assert len(coordinator.callers) == 3
        assert node.books.at_once == 0


async def test_without_memory_nothing_is_kept(coordinator: FakeCoordinator) -> None:
    hot = filled(coordinator)
    async with with_lane(coordinator, memory=0) as node:
        for _ in range(3):
            await node.ask(hot.small)
        assert len(coordinator.callers) == 3


async def test_a_drain_asks_clients_of_hot_answers_to_go(coordinator: FakeCoordinator) -> None:
    hot = filled(coordinator)
    coordinator.step, coordinator.stall_after = MIB, MIB
    async with with_lane(coordinator) as node, node.client() as client, node.client() as busy:
        await client.send(hot.small)
        await client.answer()
        await busy.send(hot.large)
        await busy.head()
        drained = asyncio.get_running_loop().create_task(node.gate.drain())
        assert await client.ended() == b""
        node.gate.abort()
        await drained


async def test_a_connection_that_is_answered_at_once_is_idle_after_the_last_answer(
    coordinator: FakeCoordinator,
) -> None:
    hot = filled(coordinator)
    limits = Limits(header_timeout=0.2, keepalive_timeout=0.5)
    async with with_lane(coordinator, limits) as node, node.client() as client:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 0.8:  # longer than either limit
            await client.send(hot.small)
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.05)
        last = loop.time()
        assert await client.ended() == b""
        assert loop.time() - last >= 0.4
        assert node.books.at_once > 3


async def test_the_first_head_has_its_deadline_and_the_next_one_its_own(coordinator: FakeCoordinator) -> None:
    hot = filled(coordinator)
    async with with_lane(coordinator, Limits(header_timeout=0.2)) as node, node.client() as client:
        for _ in range(2):
            await client.send(hot.small)
            await client.answer()
        await client.write(b"GET ")
        assert (await client.ended()).startswith(b"HTTP/1.1 408 ")
        assert node.books.at_once == 1


async def test_a_client_that_takes_nothing_is_let_go_and_its_answer_booked_as_broken(
    coordinator: FakeCoordinator,
) -> None:
    coordinator.add("big.json", os.urandom(32 * KIB), linked=False)
    target = at_commit("big.json")
    limits = Limits(send_timeout=0.3, send_buffer=16 * KIB)
    clock = ManualClock()
    async with with_lane(coordinator, limits, clock=clock) as node, node.client(receive_buffer=4 * KIB) as client:
        await node.ask(target)
        answered = 0
        while answered < len(node.books.exchanges):  # until one is not taken
            answered = len(node.books.exchanges)
            await client.send(target)
            with contextlib.suppress(TimeoutError):
                await until(lambda before=answered: len(node.books.exchanges) > before, patience=0.2)
        await until(lambda: node.books.exchanges[-1].aborted)
        broken = node.books.exchanges[-1]
        assert (broken.failure, broken.body_bytes, broken.size) == ("ClientStalled", 0, 32 * KIB)
        assert len(coordinator.callers) == 1
        await until(lambda: sum(node.books.sent.values()) == answered * 32 * KIB)
