"""The processes of one run: the synthetic Hub, a Redis if there is to be one, and the nodes."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Final, cast

from redis.asyncio import Redis as RedisClient

from bench.fleet import Redis, membership, places, write_secret
from bench.node import Node, Page, Process
from tests.kit.relay import Relay

REPO: Final = "acme/one"
PATH: Final = "model.safetensors"
SEED: Final = "fleet"
STARTED_AT_ONCE: Final = 4
SETTLED_WITHIN: Final = 60.0
"""Seconds in which ten nodes find one another, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to stand there. `missing` of the nodes are not started yet; `settings` are knobs by dotted name."""

    folder: Path
    nodes: int
    size: int
    rate: float | None
    redis: bool
    relays: bool
    missing: int
    workers: int
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Origin:
    """The Hub, and what it has of the one file."""

    url: str
    target: str
    sha256: str

    def counters(self) -> dict[str, dict[str, int]]:
        """Requests and body bytes by kind."""
        with urllib.request.urlopen(f"{self.url}/__hub/counters", timeout=30) as answer:
            return dict(json.load(answer))


class FleetStand:
    """See the head of the file. `urls` are those at which nodes reach one another."""

    def __init__(self, plan: Plan, origin: Origin, redis: Redis | None) -> None:
        self.plan = plan
        self.origin = origin
        self.redis = redis
        self.nodes: list[Node] = []
        self.places = places(plan.nodes) if plan.nodes > 1 else []
        self.relays: list[Relay] = []
        self.urls: list[str] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, plan: Plan) -> AsyncIterator[FleetStand]:
        """All that is to run, running, and every node knowing every other. Raises NotStarted."""
        async with AsyncExitStack() as stack:
            origin = await _origin(plan, stack)
            redis = await _redis(plan, stack)
            stand = cls(plan, origin, redis)
            write_secret(plan.folder / "cluster.secret")
            for place in stand.places if plan.relays else ():
                host, _, port = place.rpartition(":")
                stand.relays.append(await stack.enter_async_context(Relay.open((host, int(port)))))
            reached = [f"127.0.0.1:{relay.port}" for relay in stand.relays] or stand.places
            stand.urls = [f"http://{place}" for place in reached]
            try:
                await stand._start(plan.nodes - plan.missing)
                yield stand
            finally:
                await asyncio.gather(*(node.stop() for node in stand.nodes))

    async def join(self) -> None:
        """Start the next of those that are missing; returns once all know it."""
        await self._start(1)

    async def page(self, node: Node) -> Page:
        return Page.parse((await asyncio.to_thread(_got, f"{node.admin}/metrics")).decode())

    async def cluster(self, node: Node, question: str = "") -> dict[str, Any]:
        """What the admin port says of the fleet."""
        return dict(json.loads(await asyncio.to_thread(_got, f"{node.admin}/-/api/cluster{question}")))

    async def owner(self, index: int) -> int:
        """The number of the node that owns a slice, as the first one sees it."""
        found = await self.cluster(self.nodes[0], f"/placement?key=sha256:{self.origin.sha256}&slices={index + 1}")
        name = found["slices"][index]["owner"]
        members = (await self.cluster(self.nodes[0]))["members"]
        return self.urls.index(next(one["url"] for one in members if one["name"] == name))

    async def _start(self, count: int) -> None:
        first = len(self.nodes)
        made = [self._node(number) for number in range(first, first + count)]
        self.nodes += made
        free = asyncio.Semaphore(STARTED_AT_ONCE)

        async def start(node: Node) -> None:
            async with free:
                await node.start()

        await asyncio.gather(*map(start, made))
        await self._until_all_know_all()

    async def _until_all_know_all(self) -> None:
        async with asyncio.timeout(SETTLED_WITHIN * max(1, self.plan.nodes / 10)):
            for node in self.nodes if self.places else ():
                while len((await self.cluster(node))["members"]) < len(self.nodes):  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.1)

    def _node(self, number: int) -> Node:
        folder = self.plan.folder / f"n{number}"
        folder.mkdir()
        known: dict[str, object] = {}
        if self.places:
            reached = [url.removeprefix("http://") for url in self.urls]
            redis = None if self.redis is None else self.redis.url
            known = membership(number, reached, self.plan.folder / "cluster.secret", redis)
        at = self.places[number] if self.places else "127.0.0.1:0"
        size, workers = 2 * self.plan.size + (64 << 20), self.plan.workers
        settings = {"log.level": "warning", **known, **self.plan.settings}
        return Node(
            folder,
            self.origin.url,
            folder / "disk",
            size=size,
            workers=workers,
            settings=settings,
            cores=None,
            listen=at,
        )


async def _origin(plan: Plan, stack: AsyncExitStack) -> Origin:
    files = [{"path": PATH, "size": plan.size, "seed": SEED, "linked": True}]
    catalogue = plan.folder / "catalogue.json"
    catalogue.write_text(json.dumps({"repos": [{"id": REPO, "files": files}]}))
    command = ["-m", "bench.hub", "--listen", "127.0.0.1:0", "--cdn", "127.0.0.1:0", "--no-xet"]
    command += ["--catalogue", str(catalogue), "--ready-file", str(plan.folder / "hub.json")]
    command += ["--bandwidth", str(int(plan.rate))] if plan.rate else []
    hub = Process([sys.executable, *command], plan.folder / "hub.json", plan.folder / "hub.log", None)
    await hub.start()
    stack.push_async_callback(hub.stop)
    request = urllib.request.Request(f"{hub.facts['url']}/{REPO}/resolve/main/{PATH}", method="HEAD")
    head = await asyncio.to_thread(_head, request)
    commit, sha256 = head["X-Repo-Commit"], head["X-Linked-Etag"].strip('"')
    return Origin(hub.facts["url"], f"/{REPO}/resolve/{commit}/{PATH}", sha256)


async def _redis(plan: Plan, stack: AsyncExitStack) -> Redis | None:
    if not plan.redis:
        return None
    redis = Redis(plan.folder, None)
    await redis.start()
    stack.push_async_callback(redis.stop)
    return redis


@asynccontextmanager
async def redis_client(server: Redis) -> AsyncIterator[RedisClient]:
    client = RedisClient.from_url(server.url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _head(request: urllib.request.Request) -> Message:
    """The fields of the answer, a redirect's too."""
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=30) as answer:
            return cast(Message, answer.headers)
    except urllib.error.HTTPError as redirect:
        return redirect.headers


def _got(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())
