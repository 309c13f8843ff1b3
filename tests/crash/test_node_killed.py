"""Workers and whole nodes killed with -9: another takes over, and nothing wrong is ever served."""

from __future__ import annotations

import random
from functools import partial

import pytest

from bench.hub.content import MIB
from tests.kit.files import Expected
from tests.kit.fsck import sealed_blobs
from tests.kit.node import Node
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

SEED = 20_261_123
ROUNDS = 8
"""Each takes a second or two on a machine of its own, and ten times that on a crowded one."""


async def test_another_worker_takes_over_where_the_map_ends(stage: Stage) -> None:
    """The worker that downloads is killed in the middle; a reader of the other one gets the rest, and the origin is
    asked again only for what was in flight."""
    file = stage.blob("acme/tiny", "model.safetensors", 32 * MIB)
    node = await stage.node(workers=2)
    stage.faults.connection_bandwidth = 6 * MIB
    readings = [stage.reading(node, file) for _ in range(8)]
    for reading in readings:
        await reading.until_received(4 * MIB)
    await stage.kill_worker(node)
    await stage.ended(*readings)
    survivors = [reading for reading in readings if reading.complete]
    assert all(reading.complete or reading.ending is Ending.BROKEN for reading in readings)
    stage.faults.connection_bandwidth = None
    again = await stage.read(node, file)
    assert again.complete, (again, len(survivors))


async def test_a_follower_outlives_the_worker_that_downloads(stage: Stage) -> None:
    """Whichever worker has the claims: kill the first, and after its replacement the second."""
    file = stage.blob("acme/tiny", "model.safetensors", 48 * MIB)
    node = await stage.node(workers=2)
    stage.faults.connection_bandwidth = 4 * MIB
    for victim in range(2):
        reading = stage.reading(node, file)
        await reading.until_received((8 + 8 * victim) * MIB)
        gone = await stage.kill_worker(node)
        await until(partial(_replaced, node, gone), "two workers are ready again")
        await stage.ended(reading)
    stage.faults.connection_bandwidth = None
    assert (await stage.read(node, file)).complete


async def _replaced(node: Node, gone: int) -> bool:
    return gone not in node.workers and (await node.metrics()).total("workers", state="ready") == 2


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_node_killed_at_random_moments_loses_nothing_it_had_proven(stage: Stage, workers: int) -> None:
    """Each round: readers of some files, kill -9 at a moment of chance, start again. At the end all files are right,
    and every blob that was sealed before a kill is still there after it."""
    chance = random.Random(SEED + workers)
    files = [stage.blob("acme/tiny", f"part-{number}.bin", (2 + 3 * number) * MIB + number) for number in range(5)]
    node = await stage.node(workers=workers, disks=2, fetch__span="1MiB")
    stage.faults.bandwidth = 60 * MIB
    sealed: set[str] = set()
    for _ in range(ROUNDS):
        await _interrupted(stage, node, files, chance)
        now = sealed_blobs(node.plan.disk_folders)
        assert sealed <= now, "a sealed blob was lost"
        sealed = now
        await stage.start(node)
    stage.faults.bandwidth = None
    for file in files:
        reading = await stage.read(node, file)
        assert reading.complete, reading
    wanted = {file.sha256 for file in files}
    # A body ends when its digest is right, while the disks are told: its blob is sealed a moment later.
    await until(lambda: wanted <= sealed_blobs(node.plan.disk_folders), "every blob is sealed")


async def _interrupted(stage: Stage, node: Node, files: list[Expected], chance: random.Random) -> None:
    """Readers, and a kill once one of them has come so far."""
    readings = [stage.reading(node, file) for file in chance.sample(files, 3)]
    enough = chance.randrange(sum(file.size for file in files) // 3)

    def far_enough() -> bool:
        return sum(reading.received for reading in readings) >= enough or all(r.has_ended for r in readings)

    await until(far_enough, f"{enough} bytes", within=30.0)
    await stage.kill(node)
    await stage.ended(*readings)
    assert all(reading.ending in (Ending.COMPLETE, Ending.BROKEN) for reading in readings), readings


async def test_a_kill_while_evicting_leaves_the_books_right(stage: Stage) -> None:
    chance = random.Random(SEED)
    files = [stage.blob("acme/many", f"part-{number:02}.bin", 3 * MIB) for number in range(10)]
    node = await stage.node(disk_size="10MiB", fetch__span="1MiB")
    stage.allow_origin(None)  # three times as much as fits
    for _ in range(6):
        await _interrupted(stage, node, files, chance)
        await stage.start(node)
    for file in files[:3]:
        assert (await stage.read(node, file)).complete
