"""Reading pages that are not in memory, off the event loop: a bounded pool of threads for each disk.

A disk that hangs takes its own threads and the requests that wait for it, nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from proxy.core.errors import DiskFailed, Stalled
from proxy.core.sizes import KIB, MIB
from proxy.core.threads import Threads

T = TypeVar("T")

PROBE_EVERY: Final = 256 * KIB
"""One byte in so many, and the last, is looked at to tell whether a stretch is in memory: what was read one after
another is thrown out together, too."""

_ONE_BYTE: Final = [bytearray(1)]
"""Where a look ends up that wants no byte."""


def resident(fd: int, offset: int, length: int) -> bool:
    """Whether `length` (> 0) bytes from `offset` on can (very likely) be read without waiting for the disk.

    Costs a system call per 256 KiB, about a microsecond. A file system that cannot tell (EOPNOTSUPP) counts as cold.
    """
    last = offset + length - 1
    for at in range(offset, last, PROBE_EVERY):
        if not _probe(fd, at):
            return False
    return _probe(fd, last)


def read_now(fd: int, offset: int, length: int) -> bytes | None:
    """The bytes, if all of them are in memory; None when only the disk has them (or the file ends before)."""
    room = bytearray(length)
    try:
        got = os.preadv(fd, [room], offset, os.RWF_NOWAIT)
    except OSError:
        return None
    return bytes(room) if got == length else None


class ColdReader:
    """Threads that wait for disks, at most `threads` for each.

    `patience`: seconds a read may take before its request is failed with Stalled; the thread stays behind until the
    disk answers, which is what keeps a hung disk from taking more of them.
    """

    def __init__(self, *, threads: int, patience: float) -> None:
        self._threads = threads
        self._patience = patience
        self._pools: dict[str, Threads] = {}
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<ColdReader {len(self._pools)} disks, {self._waiting} waiting>"

    @property
    def waiting(self) -> int:
        """Reads handed to a thread and not answered yet; the pool's depth for metrics."""
        return self._waiting

    async def warm(self, disk: str, fd: int, offset: int, length: int) -> None:
        """Bring the bytes into the page cache. Raises DiskFailed, Stalled."""
        await self._run(disk, fd, lambda own: _fault_in(own, offset, length))

    async def read(self, disk: str, fd: int, offset: int, length: int) -> bytes:
        """The bytes: exactly `length`. Raises DiskFailed, Stalled."""
        return await self._run(disk, fd, lambda own: _read_exactly(own, offset, length))

    def close(self) -> None:
        """Take no more work; what hangs is left behind."""
        for pool in self._pools.values():
            pool.close()

    async def _run(self, disk: str, fd: int, work: Callable[[int], T]) -> T:
        # The thread works on a descriptor of its own:
        #   1. we wait for the thread   2. the client leaves, we are cancelled   3. the piece's descriptor is closed
        #   4. another file is opened and gets the same number   5. the thread reads the wrong file
        pool, own = self._pool(disk), os.dup(fd)
        job: Future[T] = Future()
        pool.submit(lambda: _perform(job, own, work))
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            raise Stalled(f"disk {disk} gave no byte for {self._patience:g} s") from None
        except OSError as error:
            raise DiskFailed(f"reading from disk {disk} failed: {error.strerror or error}") from error
        finally:
            self._waiting -= 1
            if job.cancel():  # it never started, so nobody else closes the descriptor
                os.close(own)

    def _pool(self, disk: str) -> Threads:
        pool = self._pools.get(disk)
        if pool is None:
            pool = self._pools[disk] = Threads(f"cold-{disk}", self._threads)
        return pool


def _probe(fd: int, offset: int) -> bool:
    try:
        os.preadv(fd, _ONE_BYTE, offset, os.RWF_NOWAIT)
    except OSError:
        return False  # EAGAIN: cold. Anything else (EOPNOTSUPP, EIO) is for a thread to find out.
    return True


def _perform(job: Future[T], fd: int, work: Callable[[int], T]) -> None:
    """In a thread: do `work` on `fd`, which is then closed, unless whoever waited has given up before."""
    if not job.set_running_or_notify_cancel():
        return
    try:
        try:
            outcome = work(fd)
        finally:
            os.close(fd)
    except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
        job.set_exception(error)
    else:
        job.set_result(outcome)


def _fault_in(fd: int, offset: int, length: int) -> None:
    """The pages pass on their way to nowhere without being copied, which costs a seventh of reading them: on a core
    that is shared with the loop, what these threads work is what it is late by."""
    while length > 0:
        got = os.sendfile(_nowhere(), fd, offset, min(length, MIB))
        if not got:
            return  # the sender finds the end of the file itself
        offset, length = offset + got, length - got


@functools.cache
def _nowhere() -> int:
    """A descriptor that takes everything. It is never closed: a thread that a disk holds may come back to it."""
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _read_exactly(fd: int, offset: int, length: int) -> bytes:
    pieces = []
    while length:
        piece = os.pread(fd, length, offset)
        if not piece:
            raise OSError(f"the file ends {length} bytes before its piece")
        pieces.append(piece)
        offset, length = offset + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
