"""What is left in the nodes and in Redis when everything is over: there should be nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.node import Node

from .stand import FleetStand, redis_client

PATIENCE: Final = 20.0
"""Seconds after the last client until nothing may be left."""
_LOOK_AGAIN: Final = 0.5
GAUGES: Final = ("requests_in_flight", "fills_in_progress", "coalesced_waiters", "cache_reserved_bytes", "cold_reads")


async def left_over(stand: FleetStand, patience: float = PATIENCE) -> list[str]:
    """What is still there after `patience` seconds; empty at the first look that finds nothing."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while found := [*await _in_redis(stand), *[line for node in stand.nodes for line in await _in_node(stand, node)]]:
        if loop.time() > deadline:
            return found
        await asyncio.sleep(_LOOK_AGAIN)
    return []


async def _in_redis(stand: FleetStand) -> list[str]:
    if stand.redis is None or not stand.redis.is_running:
        return []
    async with redis_client(stand.redis) as client:
        return [f"Redis: {key!r}" for key in await client.keys("penstock:lease:*")]


async def _in_node(stand: FleetStand, node: Node) -> list[str]:
    try:
        page = await stand.page(node)
    except OSError:
        return [f"{node.address} does not answer"] if node.is_running else []
    name = f"n{stand.nodes.index(node)}"
    found = [f"{name}: {gauge} {page.total(f'penstock_{gauge}'):g}" for gauge in GAUGES]
    found = [line for line in found if not line.endswith(" 0")]
    disk = stand.plan.folder / name / "disk"
    found += [f"{name}: {path} is open" for pid in node.pids for path in _open_below(pid, disk / "blobs")]
    return found + [f"{name}: {path.relative_to(disk)}" for folder in ("tmp", "trash") for path in _in(disk / folder)]


def _open_below(pid: int, folder: Path) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue
        if target.startswith(f"{folder}/"):
            yield target.removeprefix(f"{folder}/")


def _in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []
