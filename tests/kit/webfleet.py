"""Several nodes before a generic origin, in processes of their own, that know one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from proxy.cluster.members import Member, View
from proxy.core.sizes import SLICE
from proxy.fetch.web.crossing import place_key
from proxy.hub.web_peering import record_of

from .fleet import known_to
from .node import Address, Node, NodePlan, own_places
from .redis import RedisServer
from .waiting import until

QUICK = {"origin.kind": "http", "cluster.progress_timeout": "10s", "cluster.heartbeat": "200ms"}


@dataclass
class WebFleet:
    """The nodes `n0`, `n1`, … before the origin `url`."""

    url: str
    nodes: list[Node]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, url: str, count: int, redis: RedisServer | None = None, **settings: Any
    ) -> AsyncIterator[WebFleet]:
        """They run, and know one another."""
        secret = folder / "cluster.secret"
        secret.write_text(token_hex(32))
        places = own_places(count)
        shared = {"cluster.secret_file": str(secret), **settings}
        if redis is not None:
            shared["cluster.redis"] = f"redis://127.0.0.1:{redis.port}"
        fleet = cls(url, [_node(folder, url, number, places, shared) for number in range(count)])
        try:
            await asyncio.gather(*(node.start() for node in fleet.nodes))
            known = (count - 1) * settings.get("server.workers", 1)  # by each worker
            await until(lambda: all(known_to(node) == known for node in fleet.nodes), "all nodes know one another")
            yield fleet
        finally:
            await asyncio.gather(*(node.kill() for node in fleet.nodes))

    def owners(self, target: str, validator: str, size: int) -> list[Node]:
        """The owner of each slice."""
        members = tuple(Member(f"n{number}", f"http://{node.data}", 1) for number, node in enumerate(self.nodes))
        key, view = record_of(self.url, target, validator, size).key, View(1, members, "n0")
        ranked = (view.ranked(key, index)[0].name for index in range(-(-size // SLICE)))
        return [self.nodes[int(name[1:])] for name in ranked]

    def owner(self, target: str) -> Node:
        """The node that asks the origin for `target`, for all."""
        members = tuple(Member(f"n{number}", f"http://{node.data}", 1) for number, node in enumerate(self.nodes))
        name = View(1, members, "n0").ranked(place_key(self.url, target), 0)[0].name
        return self.nodes[int(name[1:])]

    def owned(self, node: Node) -> str:
        """A target that `node` owns."""
        return next(target for number in range(1000) if self.owner(target := f"/{number}") is node)

    def validator(self, target: str, size: int, *owners: Node) -> str:
        """A validator under which these nodes own the slices of the body of `target`."""
        tried = (f"v{number}" for number in range(1000))
        return next(tag for tag in tried if self.owners(target, tag, size) == list(owners))

    async def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over the running nodes."""
        return sum([(await node.metrics()).total(name, **labels) for node in self.nodes if node.running])


def _node(folder: Path, url: str, number: int, places: list[Address], shared: dict[str, Any]) -> Node:
    own = folder / f"node-{number}"
    own.mkdir()
    others = [f"http://{place}" for place in places if place != places[number]]
    settings = {
        **QUICK,
        **shared,
        "cluster.node": f"n{number}",
        "cluster.advertise": f"http://{places[number]}",
        "cluster.peers": others,
    }
    node = Node(NodePlan(own, url, (), (f"{own / 'disk'}=512MiB",), settings=settings))
    node.data = places[number]
    return node
