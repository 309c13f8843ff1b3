"""What may go wrong in the middle of a run, by name, and what becomes right again afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tests.kit.relay import Weather

from .stand import FleetStand, redis_client

Fault = Callable[[FleetStand, int, float], Awaitable[None]]
"""Does it to the node of that number (it owns the slice under way), for so many seconds; the run goes on meanwhile."""


async def _owner_killed(stand: FleetStand, owner: int, _: float) -> None:
    await stand.nodes[owner].kill()


async def _owner_paused(stand: FleetStand, owner: int, seconds: float) -> None:
    stand.nodes[owner].send(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    stand.nodes[owner].send(signal.SIGCONT)


async def _redis_killed(stand: FleetStand, _owner: int, _: float) -> None:
    assert stand.redis is not None
    await stand.redis.kill()


async def _redis_restarted(stand: FleetStand, _owner: int, _: float) -> None:
    assert stand.redis is not None
    await stand.redis.kill()
    await stand.redis.start()


async def _redis_paused(stand: FleetStand, _owner: int, seconds: float) -> None:
    assert stand.redis is not None
    stand.redis.send(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    stand.redis.send(signal.SIGCONT)


async def _redis_flushed(stand: FleetStand, _owner: int, _: float) -> None:
    assert stand.redis is not None
    async with redis_client(stand.redis) as client:
        await client.flushall()


def _link(weather: Weather) -> Fault:
    """What the owner's peers find on their way to it."""

    async def fault(stand: FleetStand, owner: int, seconds: float) -> None:
        stand.relays[owner].weather = weather
        await asyncio.sleep(seconds)
        stand.relays[owner].weather = Weather.FAIR

    return fault


async def _node_joins(stand: FleetStand, _owner: int, _: float) -> None:
    await stand.join()


async def _owner_drains(stand: FleetStand, owner: int, _: float) -> None:
    """SIGTERM: it serves those it has, and takes no new ones."""
    os.kill(stand.nodes[owner].pids[0], signal.SIGTERM)


FAULTS: Final[Mapping[str, Fault | None]] = {
    "none": None,
    "owner-killed": _owner_killed,
    "owner-paused": _owner_paused,
    "redis-killed": _redis_killed,
    "redis-paused": _redis_paused,
    "redis-restarted": _redis_restarted,
    "redis-flushed": _redis_flushed,
    "link-stalled": _link(Weather.STALLED),
    "link-cut": _link(Weather.SWALLOWED),
    "link-reset": _link(Weather.RESET),
    "node-joins": _node_joins,
    "owner-drains": _owner_drains,
}
TAKES_A_NODE: Final = frozenset({"owner-killed", "owner-drains"})
"""The node is gone afterwards; its clients go on elsewhere."""
HOLDS_A_NODE: Final = frozenset({"owner-paused"})
"""The node's own clients wait for as long."""


def needs_relays(fault: str) -> bool:
    return fault.startswith("link-")


def needs_redis(fault: str) -> bool:
    return fault.startswith("redis-")
