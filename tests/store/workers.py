"""Worker processes as a test drives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from proxy.core.sizes import MIB
from tests.kit.tools import needed

ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """One `tests.store.worker`; `ask` sends a command and waits for its answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[Any] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, verb: str, *arguments: int) -> Any:
        self.tell(verb, *arguments)
        async with asyncio.timeout(30):
            return await self.answer()

    def tell(self, verb: str, *arguments: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join([verb, *map(str, arguments), "\n"]).encode())

    async def answer(self) -> Any:
        """The next answer; other lines on the way are kept in `said`. Raises EOFError when the process is gone."""
        while True:
            line = await self.line()
            if isinstance(line, dict) and "answer" in line:
                return line["answer"]
            self.said.append(line)

    async def line(self) -> Any:
        assert self._process.stdout is not None
        text = await self._process.stdout.readline()
        if not text:
            raise EOFError
        return json.loads(text)

    async def kill(self) -> None:
        """kill -9, and wait until it is gone (under strace: strace, whose end the worker sees on its input)."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        await self._process.stdout.read()
        await self._process.wait()


def _traced(call: str, nth: int) -> list[str]:
    return [
        needed("strace"),
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=KILL:when={nth}",
    ]


@contextlib.asynccontextmanager
async def worker_process(
    *folders: Path, worker: int, size: int = 256 * MIB, kill_at: tuple[str, int] | None = None
) -> AsyncIterator[WorkerProcess]:
    """A worker over `folders`, killed at the end; or at the n-th system call of a name in any of its threads, which may
    be before it is ready."""
    process = await asyncio.create_subprocess_exec(
        *(_traced(*kill_at) if kill_at else ()),
        sys.executable,
        "-m",
        "tests.store.worker",
        ",".join(map(str, folders)),
        str(worker),
        str(size),
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    started = WorkerProcess(process)
    try:
        async with asyncio.timeout(30):
            with contextlib.suppress(*([EOFError] if kill_at else [])):
                assert await started.line() == "ready"
        yield started
    finally:
        await started.kill()
        process._transport.close()  # type: ignore[attr-defined]
