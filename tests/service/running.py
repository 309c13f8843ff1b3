"""A node as a process of its own: started, asked, signalled, ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.kit.nursery import Child, born

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Wait until `condition` holds, for at most PATIENCE seconds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)
    raise AssertionError(what)


def alive(pid: int) -> bool:
    """Whether process `pid` runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


class Running:
    """A `penstock serve` that has written its ready file."""

    def __init__(self, process: Child, ready_file: Path, log: Path, session: Any) -> None:
        self.process = process
        self.ready_file = ready_file
        self._log = log
        self._session: aiohttp.ClientSession = session

    @property
    def standing(self) -> dict[str, Any]:
        return dict(json.loads(self.ready_file.read_bytes()))

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def get(self, path: str) -> Any:
        """Ask the data port over a new connection."""
        async with self.ask(path) as response:
            return await response.json(content_type=None)

    def ask(self, path: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.get(f"http://{self.standing['data']}{path}")

    async def admin(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"http://{self.standing['admin']}{path}") as response:
            return response.status, await response.text()

    async def number(self, metric: str) -> float:
        """The value of the sample that begins with `metric` and a blank."""
        _, page = await self.admin("/metrics")
        found = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(f"{metric} ")]
        return float(found[0]) if found else 0.0

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def running(
    folder: Path, *flags: str, assembly: str = "tests.service.toy:assemble", installed: Path = ROOT
) -> AsyncIterator[Running]:
    """A node with `flags`, serving; killed at the end if it still runs."""
    async with started(folder, *flags, assembly=assembly, installed=installed) as node:
        await until(lambda: node.ready_file.exists() or node.process.returncode is not None, "ready or ended")
        assert node.process.returncode is None, node.log
        yield node


@asynccontextmanager
async def started(
    folder: Path, *flags: str, assembly: str = "tests.service.toy:assemble", installed: Path = ROOT
) -> AsyncIterator[Running]:
    """A node that was just started; the packages of what it starts itself are those in `installed`."""
    ready, log = folder / "ready.json", folder / "log"
    command = ["-m", "proxy.cli.main", "serve", "--assembly", assembly]
    command += [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--disk",
        f"{folder}/disk=1GiB",
        "--access-log",
        "",
    ]
    command += ["--origin", "http://127.0.0.1:9", "--ready-file", str(ready), *flags]
    with log.open("ab") as file:
        process = await born(command, folder=installed, environment={**os.environ, "NO_COLOR": "1"}, output=file)
    connector = aiohttp.TCPConnector(force_close=True)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE)) as session:
            yield Running(process, ready, log, session)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
