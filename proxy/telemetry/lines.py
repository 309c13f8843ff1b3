"""A writer of lines that never makes the loop wait: a bounded buffer, one thread, whole lines in batches.

Theory of operation. `offer` appends to a deque and wakes the thread if it sleeps; when the buffer is full the line is
dropped and counted. The thread takes all there is, renders it, and writes it with as few write(2) calls as keep lines
whole: to a regular file opened with O_APPEND a whole batch is one write, which the kernel does not mix with those of
other workers; to a pipe only writes up to PIPE_BUF are, so there a batch is cut at line ends.

A sink that blocks (a pipe nobody reads) or fails (a full disk) costs lines, never requests.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

from .rotation import Rotation

T = TypeVar("T")

PIPE_BUF: Final = select.PIPE_BUF
_BATCH: Final = 512 * 1024


class LineWriter(Generic[T]):
    """Writes what is offered, one line each, from a thread of its own.

    `render` runs in that thread and gives bytes with the newline. `path` None means the open descriptor `fd`, which is
    not closed. `rotation`, with a path, says when it is put aside. `on_lost` is called (from either thread) with the
    number of lines that were lost.
    """

    def __init__(
        self,
        render: Callable[[T], bytes],
        *,
        path: Path | None = None,
        fd: int = 1,
        capacity: int = 16_384,
        on_lost: Callable[[int], None] = lambda count: None,
        rotation: Rotation | None = None,
    ) -> None:
        self._rotation = rotation
        self._render = render
        self._path = path
        self._fd = fd
        self._capacity = capacity
        self._on_lost = on_lost
        self._waiting: deque[T] = deque()
        self._wake = threading.Event()
        self._reopening = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)

    def open(self) -> None:
        """Open the file and start the thread. Raises OSError."""
        self._open_path()
        self._thread.start()

    def offer(self, item: T) -> bool:
        """Have `item` written soon; False (and counted) when there is no room. Never blocks."""
        if len(self._waiting) >= self._capacity or self._closing:
            self._on_lost(1)
            return False
        self._waiting.append(item)
        if not self._wake.is_set():
            self._wake.set()
        return True

    def reopen(self) -> None:
        """Close the file and open its path anew, so that a renamed one (rotation) is let go of."""
        self._reopening = True
        self._wake.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, for at most `timeout` seconds; what a blocked sink does not take is lost and counted."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._on_lost(len(self._waiting))

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._reopening:
                self._reopening = False
                self._reopened()
            while self._waiting:
                self._write_batch()
            if self._closing:
                self._close_path()
                return

    def _write_batch(self) -> None:
        lines: list[bytes] = []
        size = 0
        while self._waiting and size < _BATCH:
            lines.append(self._rendered(self._waiting.popleft()))
            size += len(lines[-1])
        try:
            for block in self._blocks(lines):
                _write_whole(self._fd, block)
        except OSError:
            self._on_lost(len(lines))
        self._rotate_if_due()

    def _rotate_if_due(self) -> None:
        if self._path is None or self._rotation is None:
            return
        with suppress(OSError):  # it goes on growing: better that than no log
            if self._rotation.is_due(self._fd):
                self._rotation.rotate(self._path, self._fd)
                self._reopened()

    def _rendered(self, item: T) -> bytes:
        try:
            return self._render(item)
        except Exception:  # noqa: BLE001 - task owner: one line that cannot be rendered must not end the log
            self._on_lost(1)
            return b""

    def _blocks(self, lines: list[bytes]) -> list[bytes]:
        if stat.S_ISREG(os.fstat(self._fd).st_mode):
            return [b"".join(lines)]
        blocks = [b""]
        for line in lines:
            if len(blocks[-1]) + len(line) > PIPE_BUF:
                blocks.append(b"")
            blocks[-1] += line
        return blocks

    def _open_path(self) -> None:
        if self._path is not None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _reopened(self) -> None:
        old = self._fd
        try:
            self._open_path()
        except OSError:
            return  # The old file goes on: better there than nowhere.
        if self._path is not None:
            os.close(old)

    def _close_path(self) -> None:
        if self._path is not None:
            os.close(self._fd)


def _write_whole(fd: int, block: bytes) -> None:
    """All of `block`, also to a descriptor that somebody else made non-blocking. Raises OSError."""
    rest = memoryview(block)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            select.select([], [fd], [])
