"""One disk: its own threads, its state, and what its errors mean.

Every call on a disk goes through `run`, so a disk that hangs holds up its own callers and no one else: after
`HANG_LIMIT` its waiters get DiskFailed, and new calls are refused until a probe succeeds.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from proxy.core.clock import Clock
from proxy.core.errors import DiskFailed, NoDisk
from proxy.core.threads import Threads

from .syscalls import Syscalls

T = TypeVar("T")
log = logging.getLogger(__name__)

HANG_LIMIT: Final = 10.0
"""Seconds after which a call counts as hung."""
PROBE_AFTER: Final = 30.0
"""Seconds until a failed disk is tried again."""
STRIKES: Final = 3
"""I/O errors until a disk is out; forgotten when a probe succeeds."""


class DiskState(Enum):
    """What a disk can do; the label `state` of the disk metrics."""

    OK = "ok"
    READ_ONLY = "read_only"
    """It serves what it has and takes no more: full against the books, or mounted read-only."""
    OUT = "out"
    """It is not used at all."""


class Judgement(Enum):
    """What an errno says of the disk."""

    INNOCENT = "innocent"
    STRIKE = "strike"
    READ_ONLY = "read_only"
    OUT = "out"


_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_GONE: Final = frozenset((errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN))


def judge(error: OSError) -> Judgement:
    """What `error` says of the disk it came from. Pure."""
    if error.errno in _FULL or error.errno == errno.EROFS:
        return Judgement.READ_ONLY
    if error.errno in _GONE:
        return Judgement.OUT
    if error.errno == errno.EIO:
        return Judgement.STRIKE
    return Judgement.INNOCENT


@dataclass(eq=False, slots=True)
class Call(Generic[T]):
    """A call under way. `result` may fail early, when the disk hangs; `finished` is done when the thread is."""

    work: Callable[[], T]
    result: asyncio.Future[T]
    finished: asyncio.Future[None]
    since: float | None = None
    """When a thread began with it; one that only waits for a thread does not hang."""
    is_overdue: bool = False
    """Whether the last look found it late."""
    give_back: Callable[[T], None] | None = None
    """Gets what nobody waits for any more."""


class Disk:
    """A disk of this worker: `name` is its short label, `path` its folder."""

    def __init__(self, name: str, path: str, *, threads: int, clock: Clock, calls: Syscalls) -> None:
        self.name = name
        self.path = path
        self.calls = calls
        self.state = DiskState.OK
        self.reason = ""
        self.changed: Callable[[Disk], None] = lambda _disk: None
        self._threads = Threads(f"disk-{name}", threads)
        self._clock = clock
        self._strikes = 0
        self._failed_at = 0.0
        self._pending: set[Call[Any]] = set()

    def __repr__(self) -> str:
        return f"<Disk {self.name} {self.state.value} {self.path}>"

    @property
    def calls_under_way(self) -> int:
        return len(self._pending)

    @property
    def probe_due(self) -> bool:
        return self.state is not DiskState.OK and self._clock.monotonic() - self._failed_at >= PROBE_AFTER

    def close(self) -> None:
        self._threads.close()

    # --- calls --------------------------------------------------------------------------------------------------

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call `function(*args)` in a thread of this disk. Its OSErrors become DiskFailed, or NoDisk when the disk is
        full, and count against the disk. A caller that is cancelled leaves; the thread goes on."""
        return await self.submit(function, *args).result

    async def take(
        self, function: Callable[..., T], *args: Any, give_back: Callable[[T], None], even_out: bool = False
    ) -> T:
        """As `run`, for a result that must not be lost, such as an open file: when its caller was cancelled, or told
        that the call hangs, `give_back(result)` is called in a thread of this disk as soon as there is one."""
        call = self.submit(function, *args, even_out=even_out)
        call.give_back = give_back
        try:
            return await call.result
        except asyncio.CancelledError:
            # Cancelled between the answer and our turn: it has been handed over, and nobody takes it.
            if call.result.done() and not call.result.cancelled() and call.result.exception() is None:
                self.submit(give_back, call.result.result(), even_out=True)
            raise

    def submit(self, function: Callable[..., T], *args: Any, even_out: bool = False) -> Call[T]:
        """As `run`, but the call itself: for callers who must know when the thread is done with it."""
        loop = asyncio.get_running_loop()
        call = Call(lambda: function(*args), loop.create_future(), loop.create_future())
        if self.state is DiskState.OUT and not even_out:
            call.result.set_exception(DiskFailed(f"disk {self.name} is out: {self.reason}"))
            call.finished.set_result(None)
            return call
        self._pending.add(call)
        self._threads.submit(lambda: self._perform(loop, call))
        return call

    def _perform(self, loop: asyncio.AbstractEventLoop, call: Call[T]) -> None:
        """In a thread: whatever happens is handed to the loop; a loop that has closed meanwhile wants no answer."""
        call.since = self._clock.monotonic()
        try:
            outcome: tuple[T] | BaseException = (call.work(),)
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            outcome = error
        try:
            loop.call_soon_threadsafe(self._finish, call, outcome)
        except RuntimeError:
            assert loop.is_closed(), "the loop takes answers while it is open"

    def _finish(self, call: Call[T], outcome: tuple[T] | BaseException) -> None:
        self._pending.discard(call)
        if not call.finished.done():
            call.finished.set_result(None)
        if isinstance(outcome, OSError):
            outcome = self.blame(outcome)
        if call.result.done():
            if call.give_back is not None and not isinstance(outcome, BaseException):
                self.submit(call.give_back, outcome[0], even_out=True)
            return
        if isinstance(outcome, BaseException):
            call.result.set_exception(outcome)
        else:
            call.result.set_result(outcome[0])

    # --- judgement ----------------------------------------------------------------------------------------------

    def blame(self, error: OSError) -> DiskFailed | NoDisk:
        """Count `error` against the disk; the error to raise in its place."""
        text = f"disk {self.name} ({self.path}): {error.strerror or error}"
        verdict = judge(error)
        if verdict is Judgement.STRIKE:
            self._strikes += 1
        if verdict is Judgement.OUT or self._strikes >= STRIKES:
            self._enter(DiskState.OUT, text)
        elif verdict is Judgement.READ_ONLY and self.state is DiskState.OK:
            self._enter(DiskState.READ_ONLY, text)
        failure = NoDisk(text) if error.errno in _FULL else DiskFailed(text)
        failure.__cause__ = error
        return failure

    def watch(self) -> None:
        """Once a second: a call that takes too long puts the disk out, and its waiters are told.

        It must be late at two looks in a row: when the whole process was stopped (SIGSTOP, a machine that was moved or
        slept), every call seems late at the first look, and its thread is done by the next."""
        now = self._clock.monotonic()
        overdue = [call for call in self._pending if call.since is not None and now - call.since > HANG_LIMIT]
        hung = [call for call in overdue if call.is_overdue]
        for call in overdue:
            call.is_overdue = True
        if not hung:
            return
        self._enter(DiskState.OUT, f"disk {self.name} ({self.path}): a call hangs for more than {HANG_LIMIT:.0f} s")
        for call in self._pending:
            if not call.result.done():
                call.result.set_exception(DiskFailed(self.reason))

    def fail(self, reason: str) -> None:
        """Put the disk out."""
        self._enter(DiskState.OUT, reason)

    def keep_failed(self) -> None:
        """A probe did not succeed: wait for the next."""
        self._failed_at = self._clock.monotonic()

    def recover(self) -> None:
        """A probe succeeded."""
        self._strikes = 0
        self._enter(DiskState.OK, "")

    def _enter(self, state: DiskState, reason: str) -> None:
        self._failed_at = self._clock.monotonic()
        self.reason = reason
        if state is self.state:
            return
        self.state = state
        log.log(logging.INFO if state is DiskState.OK else logging.ERROR, "disk state", extra={
            "disk": self.name, "path": self.path, "state": state.value, "reason": reason,
        })  # fmt: skip
        self.changed(self)
