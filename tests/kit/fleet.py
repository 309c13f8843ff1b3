"""Several nodes that know one another, and what can happen between them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from proxy.cluster.members import Member, View
from proxy.core.blob import BlobKey
from proxy.core.sizes import SLICE

from .files import Expected
from .node import Address, Node, own_places
from .redis import RedisServer
from .relay import Relay
from .stage import Stage
from .waiting import NotInTime, until

QUICK = {"cluster__progress_timeout": "10s", "cluster__heartbeat": "200ms"}
"""Nodes find one another soon; and no node is taken for a dead one because the machine is busy."""


HELD = ("requests_in_flight", "fills_in_progress", "coalesced_waiters", "cache_reserved_bytes", "disk_calls")
"""Gauges that are 0 when nothing is under way."""
LEFT_WITHIN = 15.0
"""Seconds until a fleet at rest may hold nothing: longer than a lease that nobody could give back."""


@dataclass
class Fleet:
    """Nodes on a stage. `relays` stand between the nodes, one before each, and never between nodes and clients."""

    stage: Stage
    nodes: list[Node]
    relays: list[Relay]
    urls: list[str]
    redis: RedisServer | None
    settings: dict[str, Any]
    redis_ways: list[Relay] = field(default_factory=list)
    """One for each node, if they were asked for; else nodes go to Redis directly."""
    places: list[Address] = field(default_factory=list)

    @classmethod
    async def start(
        cls,
        stage: Stage,
        count: int,
        *,
        redis: RedisServer | None = None,
        redis_ways: bool = False,
        missing: int = 0,
        sabotaged: str = "",
        **settings: Any,
    ) -> Fleet:
        """`count` running nodes that know one another, unless Redis is away. The last `missing` of them are known to
        the others and not started yet; the first has the bug `sabotaged` (see `sabotage`). `redis_ways`: each goes to
        Redis by a relay of its own."""
        (stage.folder / "cluster.secret").write_text(token_hex(32))
        places = own_places(count)
        relays = [await stage.props.enter_async_context(Relay.open((place.host, place.port))) for place in places]
        stage.hushed += [relay.reset for relay in relays]
        urls = [f"http://127.0.0.1:{relay.port}" for relay in relays]
        fleet = cls(stage, [], relays, urls, redis, {**QUICK, **settings})
        if redis is not None and redis_ways:
            ways = [Relay.open(("127.0.0.1", redis.port)) for _ in places]
            fleet.redis_ways = [await stage.props.enter_async_context(way) for way in ways]
        bug = ("-m", "tests.kit.sabotage", sabotaged) if sabotaged else None
        starting = (fleet._node(n, places[n], None if n else bug) for n in range(count - missing))
        fleet.nodes = list(await asyncio.gather(*starting))
        fleet.places = places
        stage.last_looks.append(fleet.left_over)
        if redis is None or redis.is_running:
            await fleet.until_all_know_all()
        return fleet

    async def join(self) -> Node:
        """Start the next of the missing."""
        number = len(self.nodes)
        node = await self._node(number, self.places[number])
        self.nodes.append(node)
        return node

    def owner(self, file: Expected, index: int = 0) -> Node:
        """The node that ranks first for a slice of a linked file, of those that are started."""
        return self.ranked(file, index)[0]

    def ranked(self, file: Expected, index: int = 0) -> list[Node]:
        members = tuple(Member(f"n{number}", self.urls[number], 1) for number in range(len(self.nodes)))
        view = View(1, members, "n0")
        return [self.nodes[int(member.name[1:])] for member in view.ranked(BlobKey.sha256(file.sha256), index)]

    def slices_of(self, file: Expected, node: Node) -> list[int]:
        """The slices of the file that the node owns."""
        return [index for index in range(-(-file.size // SLICE)) if self.owner(file, index) is node]

    def relay(self, node: Node) -> Relay:
        """What stands before `node` for its peers."""
        return self.relays[self.nodes.index(node)]

    async def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over the running nodes."""
        pages = [await node.metrics() for node in self.nodes if node.running]
        return sum(page.total(name, **labels) for page in pages)

    async def left_over(self) -> list[str]:
        """What is held although everything is over: by the running nodes, and in Redis if it answers."""
        found: list[str] = []

        async def nothing() -> bool:
            found[:] = [*await self._leases(), *await self._held()]
            return not found

        with suppress(NotInTime):
            await until(nothing, "nothing is left", LEFT_WITHIN)
        return found

    async def _leases(self) -> list[str]:
        if self.redis is None or not self.redis.is_running:
            return []
        return [f"Redis: {key}" for key in await self.redis.keys() if key.startswith("penstock:lease:")]

    async def _held(self) -> list[str]:
        found = []
        for node in self.nodes:
            if node.running:
                page = await node.metrics()
                totals = {gauge: page.total(gauge) for gauge in HELD}
                found += [f"{node}: {gauge} {total}" for gauge, total in totals.items() if total]
        return found

    async def until_all_know_all(self) -> None:
        """Return once every running node counts every other among the members."""

        def missing() -> list[str]:
            up = [node for node in self.nodes if node.running]
            return [str(node) for node in up if known_to(node) < len(up) - 1]

        await until(lambda: not missing(), "all nodes know one another")

    def file_of(self, owners: dict[int, Node], size: int) -> Expected:
        """A new file of about `size` bytes whose slices (by index) are owned by these nodes."""
        for extra in range(200):
            file = self.stage.blob("acme/chosen", f"file-{size}-{extra}.safetensors", size + extra)
            if all(self.owner(file, index) is node for index, node in owners.items()):
                return file
        raise AssertionError("no file is owned like that")

    async def _node(self, number: int, place: Address, command: tuple[str, ...] | None = None) -> Node:
        others = [url for url in self.urls if url != self.urls[number]]
        known = {"cluster__peers": others}
        if self.redis is not None:
            port = self.redis_ways[number].port if self.redis_ways else self.redis.port
            known = {"cluster__redis": f"redis://127.0.0.1:{port}"}
        return await self.stage.node(
            at=place,
            command=command,
            cluster__node=f"n{number}",
            cluster__advertise=self.urls[number],
            cluster__secret_file=str(self.stage.folder / "cluster.secret"),
            **known,
            **self.settings,
        )


def known_to(node: Node) -> int:
    """How many others the node counts, as its log says."""
    changes = [json.loads(line) for line in node.said().splitlines() if '"the fleet changed"' in line]
    return sum(len(change.get("joined", "").split()) - len(change.get("left", "").split()) for change in changes)
