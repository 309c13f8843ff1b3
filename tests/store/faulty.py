"""A disk that fails as told: the n-th call of a kind raises, is short, or hangs until it is let go."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.store.syscalls import Syscalls


@dataclass(slots=True)
class _Plan:
    code: int
    after: int
    times: int
    match: str


class FaultySyscalls(Syscalls):
    """The real calls, but for those that `fail`, `shorten_writes` and `hang` name."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.entered = threading.Event()
        self._plans: dict[str, _Plan] = {}
        self._hanging = ""
        self._short = 0

    def fail(self, call: str, code: int, *, after: int = 0, times: int = 1 << 30, match: str = "") -> None:
        """Let `call` fail with errno `code`, `after` so many good ones, `times` times, on paths that hold `match`."""
        self._plans[call] = _Plan(code, after, times, match)

    def heal(self) -> None:
        self._plans.clear()
        self._short = 0
        self.release()

    def hang(self, call: str) -> None:
        """Let `call` block until `heal`; `entered` is set when one does."""
        self._hanging = call

    def release(self) -> None:
        """Let what hangs go on; what is to fail still fails."""
        self._hanging = ""
        self.released.set()

    def shorten_writes(self, size: int) -> None:
        """Let a write move at most `size` bytes of its first piece."""
        self._short = size

    def _meet(self, call: str, subject: str = "") -> None:
        if call == self._hanging:
            self.entered.set()
            self.released.wait(60)
        plan = self._plans.get(call)
        if plan is None or plan.match not in subject:
            return
        if plan.after > 0:
            plan.after -= 1
        elif plan.times > 0:
            plan.times -= 1
            raise OSError(plan.code, os.strerror(plan.code))

    def open(self, path: str, flags: int, *, folder: int | None = None) -> int:
        self._meet("open", path)
        if flags & os.O_RDWR:
            self._meet("open for writing", path)
        return super().open(path, flags, folder=folder)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._meet("pread")
        return super().pread(fd, length, offset)

    def pread_into(self, fd: int, room: memoryview, offset: int) -> int:
        self._meet("pread")
        return super().pread_into(fd, room, offset)

    def pwritev(self, fd: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
        self._meet("pwritev")
        if self._short:
            return super().pwritev(fd, [memoryview(pieces[0])[: self._short]], offset)
        return super().pwritev(fd, pieces, offset)

    def poke(self, fd: int, content: bytes, offset: int) -> None:
        self._meet("poke", os.readlink(f"/proc/self/fd/{fd}"))
        super().poke(fd, content, offset)

    def allocate(self, fd: int, size: int) -> None:
        self._meet("allocate")
        super().allocate(fd, size)

    def fdatasync(self, fd: int) -> None:
        self._meet("fdatasync", os.readlink(f"/proc/self/fd/{fd}"))
        super().fdatasync(fd)

    def rename(self, old: str, new: str) -> None:
        self._meet("rename", new)
        super().rename(old, new)

    def statvfs(self, path: str) -> os.statvfs_result:
        self._meet("statvfs", path)
        return super().statvfs(path)


EIO, ENOSPC, EROFS = errno.EIO, errno.ENOSPC, errno.EROFS
