"""What DESIGN promises of Penstock that no peer has a word for: done by it alone, after the rest.

A fleet is `bench.trial`'s business; here its figures are only put into the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from bench.node import Page

from .asking import Asked, Client, Unexpected
from .origin import Origin, files
from .rows import Figures
from .servers import PENSTOCK, Installed, NotServing, Running, running

BLOBS: Final = 1_000_000
"""Rows in the index of a disk when the server is started again."""
READERS: Final = 8
STEP: Final = 16 << 20
LOOKS: Final = 100
"""At the lag of a loop, of which a percentile is taken."""
HERD_SIZE: Final = 512 << 20
HERD_RATE: Final = "8MB/s"
"""Of the origin: 192 clients then take 1.5 GB/s together. Two cores can give and compare that; where they cannot, nodes
take each other for dead, and that is what is measured."""
HERD_SETTINGS: Final = ("cluster.rate_floor=128KiB",)
"""A dozen spans share that rate; by its usual floor each would be helped out."""
_LAG: Final = "penstock_event_loop_lag_seconds"
_INSERT: Final = """
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)
INSERT INTO blobs SELECT CAST('s' AS BLOB) || randomblob(32), 0, 700, 1, i, 0, 0.0 FROM numbers
"""
"""Sealed small blobs, as `proxy.store.index` books them."""


@dataclass(frozen=True, slots=True)
class Alone:
    """Where it is done."""

    origin: Origin
    installed: Installed
    folder: Path
    server_core: int | None
    cores: tuple[int, ...] = ()
    """All there are: a fleet needs more than the one that is ours."""

    @contextlib.asynccontextmanager
    async def serving(self, name: str) -> AsyncIterator[Running]:
        """Penstock with the disk `name`, which stays. Raises NotServing."""
        opened = running(PENSTOCK, self.installed, self.origin.upstream, self.folder / name, self.server_core)
        async with opened as found:
            yield found


async def restart(alone: Alone, blobs: int = BLOBS) -> Figures:
    """Seconds from its start to its readiness with so many sealed blobs in the index, and of the first hit then."""
    known = await files(alone.origin)
    asked = Asked(known["small"].path, known["small"].size)
    async with alone.serving("restart") as serves:
        await Client(serves.address).ask(asked)
    with contextlib.closing(sqlite3.connect(alone.folder / "restart" / "disk" / "index.sqlite")) as index:
        crowd(index, blobs)
    async with alone.serving("restart") as serves:
        [hit] = await Client(serves.address).ask(asked)
        assert hit.first_byte is not None, "it was answered"
        await _is_known(serves, blobs)
        return {"restart_ready": serves.ready_after, "restart_hit": hit.first_byte - hit.sent}


async def _is_known(serves: Running, blobs: int) -> None:
    """Wait until its metrics tell of so many; they are taken every few seconds. Raises Unexpected."""
    stored = 0.0
    for _ in range(150):
        stored = (await _metrics(serves)).total("penstock_cache_objects")
        if stored >= blobs:
            return
        await asyncio.sleep(0.2)
    raise Unexpected(f"it knows of {stored:,.0f} blobs, and {blobs:,} were put in")


def crowd(index: sqlite3.Connection, blobs: int) -> None:
    """Put so many sealed blobs into the index of a disk whose server is not running."""
    with index:
        index.execute(_INSERT, (blobs,))


async def cold_disk(alone: Alone, looks: int = LOOKS) -> Figures:
    """How late its loop is while readers want what is on the disk alone, until it was looked at so often."""
    known = await files(alone.origin)
    whole = known["whole"]
    async with alone.serving("cold-disk") as serves:
        client = Client(serves.address)
        await client.ask(Asked(whole.path, whole.size))
        before = after = await _metrics(serves)
        spans = [(at, min(at + STEP, whole.size)) for at in range(0, whole.size, STEP)]
        parts = [[Asked(whole.path, whole.size, span) for span in spans[n::READERS]] for n in range(READERS)]
        while after.total(f"{_LAG}_count") - before.total(f"{_LAG}_count") < looks:
            await asyncio.to_thread(_forgotten, alone.folder / "cold-disk" / "disk")
            await asyncio.gather(*(client.ask(*part) for part in parts if part))
            after = await _metrics(serves)
        return {"cold_disk_lag": percentile(before, after, 0.99)}


def _forgotten(folder: Path) -> None:
    """Everything in `folder` is on the disk alone."""
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def percentile(before: Page, after: Page, share: float) -> float:
    """Seconds of lag below which `share` of the looks between two pages were: the bound of a bucket. Raises
    Unexpected when there were none."""
    counts: list[tuple[float, float]] = []
    for (name, labels), value in after.samples.items():
        if name == f"{_LAG}_bucket":
            bound = dict(labels)["le"]
            counts.append((float(bound), value - before.samples.get((name, labels), 0.0)))
    looks = max((count for _, count in counts), default=0.0)
    if not looks:
        raise Unexpected("the loop was not looked at")
    return next(bound for bound, count in sorted(counts) if count >= share * looks)


async def fleet_herd(alone: Alone) -> Figures:
    """Three nodes, 64 cold clients at each, the owner of the blob's beginning killed midway: `bench.trial`."""
    told = alone.folder / f"herd-{secrets.token_hex(4)}.json"
    held = ["taskset", "-c", ",".join(map(str, alone.cores))] if alone.cores else []
    command = [*held, sys.executable, "-m", "bench.trial", "--fault", "owner-killed", "--size", str(HERD_SIZE)]
    command += ["--rate", HERD_RATE, *(word for setting in HERD_SETTINGS for word in ("--set", setting))]
    process = await asyncio.create_subprocess_exec(
        *command, "--no-single", "--json", str(told), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await process.communicate()
    except BaseException:
        process.terminate()  # it ends its nodes
        await process.wait()
        raise
    if not told.exists():
        raise Unexpected(f"bench.trial said {said.decode(errors='replace')[-300:]!r}")
    [found] = orjson.loads(told.read_bytes())
    right = found["complete"] == found["clients"] and not found["wrong"] and not found["errors"]
    return {"fleet_origin": found["origin_bytes"] / found["wanted"], "fleet_right": float(right)}


async def _metrics(serves: Running) -> Page:
    async with aiohttp.ClientSession() as session, session.get(f"http://{serves.admin}/metrics") as answer:
        return Page.parse(await answer.text())


ROWS: Final = {"restart": restart, "cold-disk": cold_disk, "fleet-herd": fleet_herd}
"""By name."""
ONCE: Final = frozenset({"fleet-herd"})
"""Too long for every round."""
__all__ = ["ROWS", "Alone", "NotServing", "crowd", "percentile"]
