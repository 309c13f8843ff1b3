"""One call, many who wait for it."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.errors import OriginUnreachable
from proxy.core.tasks import TaskSet
from proxy.fetch.shared import SharedCalls


async def test_callers_at_the_same_time_share_one_call() -> None:
    calls = 0
    go = asyncio.Event()

    async def call() -> int:
        nonlocal calls
        calls += 1
        await go.wait()
        return 42

    async with TaskSet("test") as tasks:
        shared: SharedCalls[int] = SharedCalls(tasks)
        waiting = [tasks.start(shared.run("key", call, "call"), "wait") for _ in range(10)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*waiting) == [42] * 10
    assert calls == 1


async def test_a_caller_who_leaves_stops_nobody() -> None:
    go = asyncio.Event()

    async def call() -> str:
        await go.wait()
        return "done"

    async with TaskSet("test") as tasks:
        shared: SharedCalls[str] = SharedCalls(tasks)
        first = tasks.start(shared.run("key", call, "call"), "first")
        second = tasks.start(shared.run("key", call, "call"), "second")
        await asyncio.sleep(0)
        first.cancel()
        go.set()
        assert await second == "done"


async def test_an_error_reaches_every_caller_and_is_not_kept() -> None:
    async def fail() -> str:
        raise OriginUnreachable("no route")

    async def succeed() -> str:
        return "fine"

    async with TaskSet("test") as tasks:
        shared: SharedCalls[str] = SharedCalls(tasks)
        outcomes = await asyncio.gather(*(shared.run("key", fail, "call") for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [OriginUnreachable] * 3
        await asyncio.sleep(0)
        assert await shared.run("key", succeed, "call") == "fine"


async def test_different_keys_do_not_wait_for_each_other() -> None:
    never = asyncio.Event()

    async def stuck() -> str:
        await never.wait()
        return ""

    async def quick() -> str:
        return "quick"

    async with TaskSet("test") as tasks:
        shared: SharedCalls[str] = SharedCalls(tasks)
        tasks.start(shared.run("a", stuck, "stuck"), "stuck")
        assert await asyncio.wait_for(shared.run("b", quick, "quick"), 1) == "quick"


async def test_an_error_shared_by_many_keeps_no_growing_traceback() -> None:
    async def fail() -> str:
        raise OriginUnreachable("no route")

    async with TaskSet("test") as tasks:
        shared: SharedCalls[str] = SharedCalls(tasks)
        for _ in range(2):
            with pytest.raises(OriginUnreachable):
                await shared.run("key", fail, "call")
