"""A worker as its supervisor sees it: a process, a line to it, and what it last said."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, assert_never

from proxy.telemetry.exposition import FOLDER_VARIABLE

from .control import LINE_LIMIT, Answer, Ask, Call, Failed, Health, Order, Report, written
from .operations.shape import Reply
from .renewal import Former

_ANSWER_WITHIN: Final = 2.0
_CARRIED_OUT_WITHIN: Final = 60.0
"""Seconds for an operation; what takes longer is a job."""


class Process(Protocol):
    """A child process."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int:
        """Its exit code, once it has ended; negative for a signal."""
        ...

    def kill(self) -> None:
        """Raises ProcessLookupError."""
        ...


class Adopted:
    """A child of this process that the program before us had started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended: int | None = None

    async def wait(self) -> int:
        if self._ended is None:
            self._ended = await self._end()
        return self._ended

    async def _end(self) -> int:
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        watch = os.pidfd_open(self.pid)
        try:
            loop.add_reader(watch, gone.set)
            await gone.wait()
        finally:
            loop.remove_reader(watch)
            os.close(watch)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])  # noqa: ASYNC222 - it has ended: no wait

    def kill(self) -> None:
        if self._ended is None:  # else the number may be somebody else's
            os.kill(self.pid, signal.SIGKILL)


class Worker:
    """One worker process and what it last said. `number` is its own among the living."""

    def __init__(self, number: int, process: Process, control: asyncio.StreamWriter) -> None:
        self.number = number
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
        try:
            return await self._answer(number, Ask(number), _ANSWER_WITHIN)
        except (TimeoutError, ConnectionError):
            return {"silent": True}

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        """Have the worker carry out an operation."""
        number = next(self._questions)
        try:
            return Reply.of_document(await self._answer(number, Call(number, verb, arguments), _CARRIED_OUT_WITHIN))
        except TimeoutError:
            return Reply.refused(503, "the worker that was asked does not answer; ask again")
        except ConnectionError:
            return Reply.refused(503, "the worker that was asked has died; ask again")

    async def _answer(self, number: int, question: Order, within: float) -> dict[str, Any]:
        """What the worker answers to `question` of that number. Raises TimeoutError, ConnectionError when it dies."""
        self._asked[number] = asyncio.get_running_loop().create_future()
        self.tell(question)
        try:
            async with asyncio.timeout(within):
                return await self._asked[number]
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

    def former(self, *, leaving: bool) -> Former:
        """This worker, for the program that takes our place."""
        control = self._control.get_extra_info("socket").fileno()
        return Former(self.number, self.pid, control, leaving, self.reasons)

    async def ended(self) -> int:
        """Wait for the process to end; its exit code, negative for a signal."""
        return await self._process.wait()

    def gone(self) -> None:
        """It says nothing any more: whoever waits for an answer learns so."""
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ConnectionResetError("the worker has died"))

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


@asynccontextmanager
async def born(
    number: int, assembly: str, folder: Path, door: socket.socket
) -> AsyncIterator[tuple[Worker, asyncio.StreamReader]]:
    """Worker `number`, just started, and its reports; killed if it still lives when left. Its metrics are in `folder`,
    it listens on `door`. It waits for Start."""
    ours, theirs = socket.socketpair()
    with theirs:
        control = str(theirs.fileno())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.service.worker", "--number", str(number), "--control", control),
            *("--door", str(door.fileno()), "--parent", str(os.getpid()), "--assembly", assembly),
            pass_fds=(theirs.fileno(), door.fileno()),
            env=os.environ | {FOLDER_VARIABLE: str(folder)},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    async with _attended(number, process, ours) as found:
        yield found


@asynccontextmanager
async def adopted(former: Former) -> AsyncIterator[tuple[Worker, asyncio.StreamReader]]:
    """As `born`, of a worker that lives already."""
    control = socket.socket(fileno=former.control)
    async with _attended(former.number, Adopted(former.pid), control) as (worker, reports):
        worker.reasons = former.reasons
        yield worker, reports


@asynccontextmanager
async def _attended(
    number: int, process: Process, control: socket.socket
) -> AsyncIterator[tuple[Worker, asyncio.StreamReader]]:
    reader, writer = await asyncio.open_connection(sock=control, limit=LINE_LIMIT)
    worker = Worker(number, process, writer)
    try:
        yield worker, reader
    finally:
        worker.kill()
        writer.close()
        await worker.ended()
