"""Locks of byte ranges that die with their holder: Linux open-file-description locks.

A lock belongs to the open file description, not to the process or thread: two descriptions conflict, also inside one
process; one description never conflicts with itself. The kernel frees them when the description is closed, so after
kill -9 as well. fcntl(2), "Open file description locks".
"""

from __future__ import annotations

import errno
import fcntl
import struct
from typing import Final

_FLOCK: Final = struct.Struct("hhqqi4x")
_WHOLE_RANGE_BUSY: Final = (errno.EAGAIN, errno.EACCES)


def _flock(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, 0, start, length, 0)


def try_lock(fd: int, start: int, length: int = 1, *, shared: bool = False) -> bool:
    """Lock `length` bytes from `start` on, or return False at once when another description holds any of them.

    An exclusive lock needs a descriptor open for writing, a shared one for reading. A lock this description holds
    already is converted, atomically."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_RDLCK if shared else fcntl.F_WRLCK, start, length))
    except OSError as error:
        if error.errno in _WHOLE_RANGE_BUSY:
            return False
        raise
    return True


def lock(fd: int, start: int, length: int = 1, *, shared: bool = False) -> None:
    """As `try_lock`, but wait: only in a thread, and only for what is held for moments."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _flock(fcntl.F_RDLCK if shared else fcntl.F_WRLCK, start, length))


def unlock(fd: int, start: int, length: int = 1) -> None:
    """Free what this description holds of the range."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, start, length))


def held_by_another(fd: int, start: int, length: int = 1) -> bool:
    """Whether another description holds a lock, shared or not, on any of the bytes."""
    return start_of_others(fd, start, length) is not None


def start_of_others(fd: int, start: int, length: int = 1) -> int | None:
    """The first byte of a lock that another description holds, shared or not, on any of the bytes: of one, if several
    do. Locks of one description that meet are one to the kernel."""
    kind, _, found, _, _ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, start, length)))
    return None if kind == fcntl.F_UNLCK else int(found)
