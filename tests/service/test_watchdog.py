"""The watchdog of systemd: a real notify socket, real processes, and loops that hang."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.service.running import ROOT, running, until

PERIOD = 0.4
"""Seconds of WatchdogSec=; a process that lives says so twice in it."""
SILENT_FOR = 3 * PERIOD
"""What systemd would have acted on long ago."""


class Manager:
    """The service manager's end of the notify socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.heard: list[str] = []

    async def next(self, word: str, within: float = 20.0) -> None:
        """Return when `word` comes. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                said = (await asyncio.get_running_loop().sock_recv(self._channel, 4096)).decode()
                self.heard.append(said)
                if word in said:
                    return

    async def silence(self) -> None:
        """What was on its way has come, and then nothing does for as long as systemd would wait, and more."""
        quiet = 0
        for _ in range(5):
            try:
                await self.next("WATCHDOG=1", SILENT_FOR)
            except TimeoutError:
                quiet += 1
                break
        assert quiet, "it goes on saying that it lives"


@pytest.fixture
async def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        channel.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(round(PERIOD * 1e6)))
        yield Manager(channel)


@asynccontextmanager
async def told_to() -> AsyncIterator[asyncio.StreamWriter]:
    """A process of `hung`, and the line on which it is told what to do."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.service.hung", cwd=ROOT, stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    try:
        yield process.stdin
    finally:
        process.kill()
        await process.wait()


async def test_a_loop_that_hangs_is_silent_and_speaks_again_when_it_goes_on(manager: Manager) -> None:
    async with told_to() as line:
        await manager.next("WATCHDOG=1")
        await manager.next("WATCHDOG=1")
        line.write(b"hang\n")
        await manager.silence()
        line.write(b"go on\n")
        await manager.next("WATCHDOG=1")


async def test_who_speaks_for_workers_is_silent_when_none_of_them_answers(manager: Manager) -> None:
    async with told_to() as line:
        await manager.next("WATCHDOG=1")
        line.write(b"die\n")
        await manager.silence()
        line.write(b"live\n")
        await manager.next("WATCHDOG=1")


async def test_a_node_whose_workers_all_hang_lets_systemd_start_it_anew(tmp_path: Path, manager: Manager) -> None:
    """The supervisor itself is well: it asks them, and does not vouch for those who do not answer."""
    async with running(tmp_path, "--workers", "2") as node:
        await manager.next("READY=1")
        await manager.next("WATCHDOG=1")
        workers = node.standing["workers"]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        await manager.silence()
        os.kill(workers[0], signal.SIGCONT)
        await manager.next("WATCHDOG=1")
        os.kill(workers[1], signal.SIGCONT)
        await until(node.ready_file.exists, "it goes on")


async def test_only_the_process_that_is_meant_answers(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_PID", "1")
    async with told_to():
        with pytest.raises(TimeoutError):
            await manager.next("WATCHDOG=1", SILENT_FOR)
