"""Disks that are full, read-only, gone, or under pressure."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.hub.content import MIB
from tests.kit.clients import CURRENT
from tests.kit.command import penstock
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system of its own: needs root")


@asynccontextmanager
async def tmpfs(folder: Path, size: str) -> AsyncIterator[Path]:
    """A file system of its own, that small."""
    folder.mkdir()
    await _run("mount", "-t", "tmpfs", "-o", f"size={size}", "penstock-test", str(folder))
    try:
        yield folder
    finally:
        await _run("umount", "--lazy", str(folder))


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, f"{' '.join(words)}: {said.decode()}"


async def test_all_disks_full_means_relay(stage: Stage) -> None:
    """HUB-PROTOCOL §7.32: a file larger than the cache is delivered all the same, by stock clients too."""
    file = stage.blob("acme/large", "model.safetensors", 24 * MIB)
    node = await stage.node(disk_size="8MiB")
    stage.allow_origin(3 * file.size)  # what has no room is fetched by each reader on its own
    assert (await stage.read(node, file)).complete
    (outcome,) = await stage.client(
        CURRENT, node, [{"op": "download", "repo_id": "acme/large", "filename": "model.safetensors"}]
    )
    stage.got(file, outcome)


@needs_root
async def test_a_file_system_that_fills_up_underneath(stage: Stage) -> None:
    """HUB-PROTOCOL §7.32: somebody else takes the room. A whole that cannot be proven any more is seen to break off,
    its reader resumes by range, and a stock client ends with the file. Given room again, the books come right."""
    file = stage.blob("acme/tiny", "model.safetensors", 32 * MIB)
    async with tmpfs(stage.folder / "small", "24m") as small:
        node = await stage.node(disks=[f"{small}/disk=1GiB"], store__free_floor="0")
        stage.allow_origin(None)
        reading = await stage.read(node, file)
        assert reading.complete or reading.ending is Ending.BROKEN, reading
        rest = await stage.read(node, file, span=(reading.received // 2, file.size))
        assert rest.complete, rest
        (outcome,) = await stage.client(
            CURRENT, node, [{"op": "download", "repo_id": "acme/tiny", "filename": "model.safetensors"}]
        )
        stage.got(file, outcome)
        await stage.stop(node)
        await _run("mount", "-o", "remount,size=96m", str(small))
        await stage.start(node)
        assert (await stage.read(node, file)).complete
        assert (await stage.read(node, file)).complete
        await stage.evidence()


@needs_root
async def test_a_disk_that_is_read_only_costs_its_slices_only(stage: Stage) -> None:
    """RELIABILITY §5.3, row 22: the other disk takes over; writable again, the first is used without a restart."""
    files = [stage.blob("acme/tiny", f"part-{number}.bin", 4 * MIB) for number in range(4)]
    async with tmpfs(stage.folder / "one", "64m") as one, tmpfs(stage.folder / "two", "64m") as two:
        node = await stage.node(disks=[f"{one}/disk=48MiB", f"{two}/disk=48MiB"], store__free_floor="0")
        for file in files:
            assert (await stage.read(node, file)).complete
        await stage.stop(node)
        await _run("mount", "-o", "remount,ro", str(one))
        await stage.start(node)
        stage.allow_origin(None)  # the slices of the first disk come again
        for file in files:
            assert (await stage.read(node, file)).complete
        states = {disk["path"]: disk["state"] for disk in (await node.status())["node"]["disks"]}
        assert states[f"{one}/disk"] != states[f"{two}/disk"], states
        await _run("mount", "-o", "remount,rw", str(one))
        for file in files:
            assert (await stage.read(node, file)).complete
        await stage.evidence()


@needs_root
async def test_a_disk_that_was_never_writable_is_named_and_left_out_and_a_sole_one_is_refused(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 6 * MIB)
    async with tmpfs(stage.folder / "one", "64m") as one, tmpfs(stage.folder / "two", "64m") as two:
        await _run("mount", "-o", "remount,ro", str(one))
        places = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", str(two / "state"))
        for verb in (("serve", *places), ("check",)):
            sole = await penstock(*verb, "--disk", f"{one}/disk=48MiB")
            assert sole.returncode == 1, sole.said
            assert f"disk {one}/disk: its file system is mounted read-only; remount it" in sole.stderr
        node = await stage.node(disks=[f"{one}/disk=48MiB", f"{two}/disk=48MiB"], store__free_floor="0")
        assert f"disk {one}/disk: its file system is mounted read-only" in node.said()
        assert "(the node goes on without it)" in node.said()
        assert (await stage.read(node, file)).complete
        disks = {disk["path"]: disk for disk in (await node.status())["node"]["disks"]}
        assert disks[f"{two}/disk"]["state"] == "ok"
        assert disks[f"{one}/disk"]["state"] == "out"
        assert "Read-only file system" in disks[f"{one}/disk"]["reason"]

        async def gauges_agree() -> bool:
            page = await node.metrics()
            return [page.total("disk_up", volume=disk["name"]) for disk in disks.values()] == [0, 1]

        await until(gauges_agree, "the gauges say so too", 10.0)
        await stage.stop(node)


async def test_a_disk_that_is_gone_costs_its_slices_only(stage: Stage) -> None:
    files = [stage.blob("acme/tiny", f"part-{number}.bin", 3 * MIB) for number in range(6)]
    node = await stage.node(disks=2)
    for file in files:
        assert (await stage.read(node, file)).complete
    lost = node.plan.disk_folders[0]
    shutil.rmtree(lost)
    stage.allow_origin(None)  # the slices of that disk are fetched anew
    for file in files:
        for _ in range(2):
            reading = await stage.read(node, file)
            assert reading.complete, reading
    await stage.stop(node)


@pytest.mark.parametrize("workers", [1, 2])
async def test_eviction_makes_room_and_cuts_nobody(stage: Stage, workers: int) -> None:
    """RELIABILITY §5.3, row 41: three times as much as fits, and readers on the victims."""
    files = [stage.blob("acme/many", f"part-{number:02}.bin", 8 * MIB) for number in range(12)]
    node = await stage.node(workers=workers, disk_size="32MiB")
    stage.allow_origin(None)  # what was evicted comes again
    victims = [stage.reading(node, file, pause_after=1) for file in files[:2]]
    for reading in victims:
        await reading.until_received(1)
    for file in files[2:]:
        reading = await stage.read(node, file)
        assert reading.complete, reading
    for reading in victims:
        reading.resume.set()
    await stage.ended(*victims)
    assert [str(reading) for reading in victims if not reading.complete] == []
    assert (await node.metrics()).total("evictions_total") >= 4
    assert (await stage.read(node, files[-1])).complete


async def test_a_herd_over_a_cache_that_is_too_small(stage: Stage) -> None:
    files = [stage.blob("acme/many", f"part-{number:02}.bin", 4 * MIB) for number in range(10)]
    node = await stage.node(workers=2, disks=2, disk_size="12MiB")
    stage.allow_origin(None)
    readings = [stage.reading(node, file) for file in files for _ in range(3)]
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []


async def test_stored_bytes_stay_within_the_limit(stage: Stage) -> None:
    files = [stage.blob("acme/many", f"part-{number:02}.bin", 5 * MIB) for number in range(8)]
    node = await stage.node(disk_size="16MiB")
    stage.allow_origin(None)
    for file in files:
        assert (await stage.read(node, file)).complete
        disks = (await node.status()).get("node") or {}
        for disk in disks.get("disks", ()):
            assert disk["stored"] + disk["reserved"] <= disk["size"], disk

    async def below_the_soft_limit() -> bool:
        used = sum(path.stat().st_blocks * 512 for path in node.plan.disk_folders[0].glob("blobs/*/*/bytes"))
        return used <= 16 * MIB

    await until(below_the_soft_limit, "the disk holds no more than its size")
