"""A worker as its supervisor sees it: a process, a line to it, and what it last said."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, assert_never

from proxy.telemetry.exposition import FOLDER_VARIABLE

from .control import LINE_LIMIT, Answer, Ask, Failed, Health, Order, Report, written

_ANSWER_WITHIN: Final = 2.0


class Worker:
    """One worker process and what it last said."""

    def __init__(self, process: asyncio.subprocess.Process, control: asyncio.StreamWriter) -> None:
        self._process = process
        self._control = control
        self._questions = itertools.count()
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.reasons: tuple[str, ...] = ("starting",)
        self.failure: str | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ready(self) -> bool:
        return not self.reasons

    def tell(self, order: Order) -> None:
        """Give `order`; lost if the worker is gone, which its slot notices by itself."""
        with suppress(OSError, RuntimeError):
            self._control.write(written(order))

    async def status(self) -> dict[str, Any]:
        """What the worker says of itself, or that it does not answer."""
        number = next(self._questions)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self.tell(Ask(number))
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                return await self._asked[number]
        except TimeoutError:
            return {"silent": True}
        finally:
            del self._asked[number]

    def heard(self, report: Report) -> None:
        match report:
            case Health(reasons):
                self.reasons = reasons
            case Answer(number, status):
                if (asked := self._asked.get(number)) is not None and not asked.done():
                    asked.set_result(status)
            case Failed(why):
                self.failure = why
            case _:
                assert_never(report)

    async def ended(self) -> int:
        """Wait for the process to end; its exit code, negative for a signal."""
        return await self._process.wait()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


@asynccontextmanager
async def born(index: int, assembly: str, folder: Path) -> AsyncIterator[tuple[Worker, asyncio.StreamReader]]:
    """Worker number `index`, just started, and its reports; killed if it still lives when left. Its metrics are in
    `folder`. It waits for Start."""
    ours, theirs = socket.socketpair()
    with theirs:
        control = str(theirs.fileno())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.service.worker", "--index", str(index), "--control", control),
            *("--parent", str(os.getpid()), "--assembly", assembly),
            pass_fds=(theirs.fileno(),),
            env=os.environ | {FOLDER_VARIABLE: str(folder)},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_LIMIT)
    worker = Worker(process, writer)
    try:
        yield worker, reader
    finally:
        worker.kill()
        writer.close()
        await worker.ended()
