"""Workers killed -9 at any moment: no wrong byte, no lost sealed blob, no leaked promise."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from proxy.core.sizes import MIB
from proxy.core.spans import Span
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, read, record_of, section
from tests.store.workers import WorkerProcess, worker_process

SIZE = 256 * MIB


async def churn_until_killed(worker: WorkerProcess, seconds: float) -> list[int]:
    """The seeds whose seal was announced before the kill."""
    with contextlib.suppress(TimeoutError, EOFError, ConnectionError):
        worker.tell("churn", 1, 1000, THREE_CHUNKS)
        async with asyncio.timeout(seconds):
            await worker.answer()
    await worker.kill()
    return [line["sealed"] for line in worker.said]


@pytest.mark.parametrize("seed", range(8))
async def test_a_worker_killed_at_a_random_moment_costs_nothing_that_was_sealed(tmp_path: Path, seed: int) -> None:
    moment = random.Random(seed).uniform(0.02, 0.5)
    async with (
        worker_process(tmp_path, worker=1, size=SIZE) as one,
        worker_process(tmp_path, worker=2, size=SIZE) as two,
    ):
        sealed = await asyncio.gather(churn_until_killed(one, moment), churn_until_killed(two, moment * 1.3))
    async with open_store(section(tmp_path, size=SIZE)) as store:
        assert await store.fsck(full=True) == []
        (disk,) = await store.snapshot()
        assert disk.reserved == 0
        for number in {*sealed[0], *sealed[1]}:
            content = content_of(THREE_CHUNKS, number)
            async with store.open_blob(record_of(content)) as blob:
                assert blob.sealed
                assert read(blob, THREE_CHUNKS) == content


@pytest.mark.parametrize("seed", range(4))
async def test_kills_while_the_disk_is_full_keep_the_books_right(tmp_path: Path, seed: int) -> None:
    size = 9 * MIB
    moment = random.Random(seed).uniform(0.1, 0.6)
    async with worker_process(tmp_path, worker=1, size=size) as one:
        await churn_until_killed(one, moment)
    async with open_store(section(tmp_path, size=size)) as store:
        assert await store.fsck(full=True) == []
        (disk,) = await store.snapshot()
        assert disk.stored <= size


CALLS = ("pwritev", "pwrite64", "fdatasync", "rename", "mkdir", "fallocate", "unlink", "ftruncate")
CONTENT = content_of(THREE_CHUNKS)


@pytest.mark.parametrize("nth", [1, 2, 7])
@pytest.mark.parametrize("call", CALLS)
async def test_a_kill_at_a_system_call_leaves_a_store_that_works(tmp_path: Path, call: str, nth: int) -> None:
    async with worker_process(tmp_path, worker=1, size=7 * MIB, kill_at=(call, nth)) as worker:
        await churn_until_killed(worker, 1.0)
    async with open_store(section(tmp_path, size=7 * MIB)) as store:
        assert await store.fsck(full=True) == []
        async with store.open_blob(record_of(CONTENT)) as blob:
            for gap in blob.missing(Span(0, THREE_CHUNKS)):
                await fill(blob, CONTENT, gap)
            assert await blob.seal()
            assert read(blob, THREE_CHUNKS) == CONTENT
        assert await store.fsck(full=True) == []
