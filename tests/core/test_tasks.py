from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.core.tasks import TaskSet


class Marks:
    """What a task went through."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = 0

    async def wait_for_ever(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_a_task_has_its_owner_and_name() -> None:
    async with TaskSet("flight") as tasks:
        task = tasks.start(asyncio.sleep(0, "done"), "download x")
        assert task.get_name() == "flight/download x"
        assert await task == "done"


async def test_leaving_cancels_and_awaits_every_task() -> None:
    marks = Marks()
    async with TaskSet("flight") as tasks:
        task = tasks.start(marks.wait_for_ever(), "wait")
        await marks.started.wait()
    assert marks.cancelled == 1
    assert task.cancelled()
    assert len(tasks) == 0


async def test_an_error_in_the_body_still_ends_the_tasks() -> None:
    marks = Marks()

    async def failing_owner() -> None:
        async with TaskSet("flight") as tasks:
            tasks.start(marks.wait_for_ever(), "wait")
            await marks.started.wait()
            raise ValueError("body")

    with pytest.raises(ValueError, match="body"):
        await failing_owner()
    assert marks.cancelled == 1


async def test_join_waits_for_tasks_started_meanwhile_and_cancels_none() -> None:
    order: list[str] = []

    async def first() -> None:
        order.append("first")
        tasks.start(second(), "second")

    async def second() -> None:
        order.append("second")

    async with TaskSet("flight") as tasks:
        tasks.start(first(), "first")
        await tasks.join()
        assert order == ["first", "second"]


async def test_a_failure_nobody_awaits_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("boom")

    async with TaskSet("flight") as tasks:
        tasks.start(fail(), "fail")
        await tasks.join()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == ["task failed"]
    assert "boom" in caplog.text


async def test_a_task_that_cleans_up_is_awaited_until_it_has() -> None:
    started = asyncio.Event()
    cleaned = False

    async def tidy() -> None:
        nonlocal cleaned
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    tasks = TaskSet("flight")
    tasks.start(tidy(), "tidy")
    await started.wait()
    await tasks.aclose()
    assert cleaned


async def test_a_closed_set_starts_nothing() -> None:
    tasks = TaskSet("flight")
    await tasks.aclose()
    with pytest.raises(RuntimeError, match="flight is closing"):
        tasks.start(asyncio.sleep(0), "late")


async def test_closing_twice_is_closing_once() -> None:
    tasks = TaskSet("flight")
    tasks.start(asyncio.sleep(3600), "long")
    await tasks.aclose()
    await tasks.aclose()
    assert len(tasks) == 0
