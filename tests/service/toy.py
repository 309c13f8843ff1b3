"""A node of one page, for tests of the processes around it.

`/` names the process, `/slow?until=FILE` ends when FILE exists, `/ref_ttl` shows what a reload brought, `/count` counts
5 bytes, `/babble` makes a worker say nonsense to its supervisor. It cannot be while there is a file `broken` on its
disk, and its operations say too much while there is one called `long`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from proxy.config.schema import Config
from proxy.core.blob import BlobKey
from proxy.core.errors import NoDisk
from proxy.service.control import LINE_LIMIT
from proxy.service.node import BACKLOG
from proxy.service.operations.shape import Reply
from proxy.telemetry.telemetry import Telemetry


class ToyNode:
    def __init__(self, config: Config, index: int, telemetry: Telemetry) -> None:
        self._config = config
        self._index = index
        self._telemetry = telemetry
        self._retired = False
        self._handed_over = False
        self._purged: list[str] = []
        self._under_way = 0
        self._none_left = asyncio.Event()
        self.site: web.SockSite | None = None

    def ready(self) -> list[str]:
        return ["draining"] if self._retired else []

    def retire(self) -> None:
        self._retired = True

    def hand_over(self) -> None:
        self._handed_over = True

    def purge(self, key: BlobKey) -> None:
        self._purged.append(str(key))

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        told = "x" * LINE_LIMIT if (self._config.store.disks[0].path / "long").exists() else ""
        return Reply(200, {"verb": verb, "arguments": arguments, "pid": os.getpid(), "told": told})

    async def drain(self, *, gently: bool = False) -> None:
        assert self.site is not None
        await self.site.stop()
        while self._under_way:
            self._none_left.clear()
            await self._none_left.wait()

    def reload(self, config: Config) -> None:
        self._config = config

    def status(self) -> dict[str, Any]:
        return {
            "index": self._index,
            "purged": self._purged,
            "pid": os.getpid(),
            "under_way": self._under_way,
            "cluster": self._part_in_a_fleet(),
        }

    def _part_in_a_fleet(self) -> dict[str, Any] | None:
        """A view of this node and of those that are listed, as it would be."""
        section = self._config.cluster
        if not section.is_on:
            return None
        members = sorted([(section.name, section.advertise), *((peer.url[7:], peer.url) for peer in section.peers)])
        state = "draining" if self._handed_over else "up"
        return {
            "node": section.name,
            "advertise": section.advertise,
            "state": state,
            "view": 1,
            "redis": "none",
            "members": [
                {
                    "name": name,
                    "url": url,
                    "state": state if name == section.name else "up",
                    "ejected": False,
                    "weight": 1,
                    "share": 1 / len(members),
                    "boot": "",
                }
                for name, url in members
            ],
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/count":
                self._telemetry.bytes_delivered("other", "memory", 5)
            case "/babble":
                os.write(int(sys.argv[sys.argv.index("--control") + 1]), b"nonsense\n")
            case "/ref_ttl":
                return web.Response(text=str(self._config.freshness.ref_ttl))
            case "/slow":
                return await self._slow(request)
        return web.json_response({"pid": os.getpid(), "index": self._index})

    async def _slow(self, request: web.Request) -> web.StreamResponse:
        self._under_way += 1
        try:
            response = web.StreamResponse(headers={"Content-Length": "10"})
            await response.prepare(request)
            await response.write(b"first")
            while not Path(request.query["until"]).exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
            await response.write(b"other")
            return response
        finally:
            self._under_way -= 1
            self._none_left.set()


@asynccontextmanager
async def assemble(
    config: Config, worker_index: int, listen_socket: socket.socket, telemetry: Telemetry
) -> AsyncIterator[ToyNode]:
    if (config.store.disks[0].path / "broken").exists():
        raise NoDisk("the disk is broken")
    node = ToyNode(config, worker_index, telemetry)
    application = web.Application()
    application.router.add_get("/{name:.*}", node.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    node.site = web.SockSite(runner, listen_socket, backlog=BACKLOG)
    await node.site.start()
    try:
        yield node
    finally:
        await runner.cleanup()


@asynccontextmanager
async def refuse(
    config: Config, worker_index: int, listen_socket: socket.socket, telemetry: Telemetry
) -> AsyncIterator[ToyNode]:
    """A node that cannot be."""
    raise NoDisk("the disk /nowhere is read-only")
    yield ToyNode(config, worker_index, telemetry)


@asynccontextmanager
async def stumble(
    config: Config, worker_index: int, listen_socket: socket.socket, telemetry: Telemetry
) -> AsyncIterator[ToyNode]:
    """A node that fails unexpectedly."""
    raise ZeroDivisionError(str(Path("stumbled")))
    yield ToyNode(config, worker_index, telemetry)
