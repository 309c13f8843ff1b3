"""Disks break: they go away, fill up, rot; and the cache on them is too small."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import cycle
from pathlib import Path

from bench.hub.content import KIB, MIB
from bench.volume import mounted
from deploy.walk.ground import Ground
from deploy.walk.load import again_and_again
from deploy.walk.path import path
from tests.kit.files import Expected
from tests.kit.node import Node


@path(
    "PenstockDiskOut",
    broken="one of two disks taken away under the node (another folder in its place, as when it is unmounted)",
    done="the disk put back; it is tried again every half minute",
)
async def disk_out(ground: Ground) -> None:
    file = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await ground.node(disks=2)
    await ground.stage.read(node, file)
    await ground.quiet()
    disk = node.plan.disk_folders[0]
    away = _taken_away(disk)

    async def everything_is_served() -> None:
        assert (await ground.stage.read(node, file)).complete

    await ground.fires(everything_is_served)
    assert any(one.get("reason") for one in (await node.status())["node"]["disks"]), "the status says why"
    disk.rmdir()
    away.rename(disk)
    await ground.over(everything_is_served)


@path(
    "PenstockNoWorker",
    broken="the only disk taken away under the node",
    done="`/-/readyz` names the disk and why; the disk put back, the node restarted",
)
async def no_worker(ground: Ground) -> None:
    file = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await ground.node(workers=2)
    await ground.stage.read(node, file)
    await ground.quiet()
    (disk,) = node.plan.disk_folders
    away = _taken_away(disk)
    await ground.fires()
    said = (await ground.readiness(node))["reasons"]
    assert any(str(disk) in reason for reason in said), said
    disk.rmdir()
    away.rename(disk)
    await node.stop()
    await ground.stage.start(node)
    await ground.over()


@path(
    "PenstockDiskTakesNothing",
    broken="the file system of the disk filled by somebody else, with nothing left to evict",
    done="what was not ours removed",
    has_mount=True,
)
async def disk_takes_nothing(ground: Ground) -> None:
    file = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    async with AsyncExitStack() as stack:
        volume = await _volume(ground, stack, 64 * MIB)
        node = await ground.node(disks=(f"{volume}/disk=32MiB",))
        await ground.quiet()
        theirs = volume / "theirs"
        _fill(theirs)

        async def everything_is_served() -> None:
            assert (await ground.stage.read(node, file)).complete

        await ground.fires(everything_is_served)
        theirs.unlink()
        await ground.over(everything_is_served)
        await node.kill()


@path(
    "PenstockDiskFilledByOthers",
    broken="somebody else writes a MiB to the file system of the disk, again and again",
    done="they are stopped, and what they wrote is removed",
    has_mount=True,
)
async def disk_filled_by_others(ground: Ground) -> None:
    async with AsyncExitStack() as stack:
        volume = await _volume(ground, stack, 256 * MIB)
        node = await ground.node(disks=(f"{volume}/disk=32MiB",))
        await ground.quiet()
        theirs = volume / "theirs"

        async def somebody_writes() -> None:
            with theirs.open("ab") as file:
                file.write(bytes(256 * KIB))

        async with again_and_again(somebody_writes):
            await ground.fires()
        theirs.unlink()
        await ground.over()
        await node.kill()


@path(
    "PenstockCorruption",
    broken="a byte changed on the disk, and `penstock scrub`: exit code 4",
    done="what was wrong is fetched anew, and `penstock scrub` finds nothing more: once, on one disk",
)
async def corruption(ground: Ground) -> None:
    file = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await ground.node()
    await ground.stage.read(node, file)
    await ground.stage.quiet(node)
    await node.stop()
    ground.stage.flip_on_disk(node, file, at=MIB + 17)
    await ground.stage.start(node)
    await ground.quiet()
    assert (await ground.command(node, "scrub")).returncode == 4
    await ground.fires()
    assert "corruption found" in node.said()
    assert (await ground.stage.read(node, file)).complete
    assert (await ground.command(node, "scrub")).returncode == 0
    await ground.over()


@path(
    "PenstockScrubStale",
    broken="`store.scrub_every` far shorter than a scrub comes by",
    done="`store.scrub_every = 1h` and SIGHUP, and `penstock scrub`",
)
async def scrub_stale(ground: Ground) -> None:
    node = await ground.node(store__scrub_every="2s")
    await ground.fires()
    node.configure(store__scrub_every="1h")
    assert (await ground.command(node, "config", "reload")).returncode == 0
    assert (await ground.command(node, "scrub")).returncode == 0
    await ground.over()


@path(
    "PenstockEvictsTooSoon",
    broken="360 files of 256 KiB wanted from a cache of 32 MiB, again and again",
    done="`store.disks` of 256 MiB, restarted, the same files wanted",
)
async def evicts_too_soon(ground: Ground) -> None:
    files = [ground.stage.blob("acme/many", f"file-{number}", 256 * KIB) for number in range(360)]
    node = await ground.node(disk_size="32MiB")
    await ground.quiet()
    wanted = _in_turn(ground, node, files)
    await ground.fires(wanted)
    await ground.stage.quiet(node)
    await node.stop()
    node.configure(store__disks=[f"{node.plan.disk_folders[0]}=256MiB"])
    await ground.stage.start(node)
    await ground.over(_in_turn(ground, node, files))


def _in_turn(ground: Ground, node: Node, files: list[Expected]) -> Callable[[], Awaitable[None]]:
    """Reads the next ten each time it is called."""
    turn = cycle(range(0, len(files), 10))

    async def ten() -> None:
        at = next(turn)
        for file in files[at : at + 10]:
            assert (await ground.stage.read(node, file)).complete

    return ten


def _taken_away(disk: Path) -> Path:
    """What unmounting looks like: another folder, an empty one, is at its place. Where it is now."""
    away = disk.with_name("away")
    disk.rename(away)
    disk.mkdir()
    return away


async def _volume(ground: Ground, stack: AsyncExitStack, size: int) -> Path:
    volume = await stack.enter_async_context(mounted(ground.stage.folder, size))
    assert volume is not None
    return volume


def _fill(file: Path) -> None:
    """Until the file system takes no more."""
    with file.open("wb", buffering=0) as theirs, suppress(OSError):
        while True:
            theirs.write(bytes(64 * KIB))
