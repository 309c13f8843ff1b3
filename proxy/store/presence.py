"""Is the disk there at all? A folder that was unmounted, or moved away, leaves an empty one at its place.

What is not found by its name is absent only while the disk is there: struck out of the index while it is away, it would
be back with the disk, and nobody would count it any more.
"""

from __future__ import annotations

import errno

from .layout import Layout
from .syscalls import Syscalls


def confirm_here(calls: Syscalls, layout: Layout, lock_fd: int) -> None:
    """Raise OSError (ENODEV) unless the folder at its place is the one whose lock file is open as `lock_fd`."""
    try:
        there = calls.stat(layout.lock)
    except FileNotFoundError as error:
        raise OSError(errno.ENODEV, "its folder is gone or not mounted") from error
    ours = calls.fstat(lock_fd)
    if (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev):
        raise OSError(errno.ENODEV, "another folder is at its place since it was opened; a restart takes that one")


def confirm_absent(calls: Syscalls, layout: Layout, lock_fd: int, missed: str) -> None:
    """Raise OSError (ENODEV) unless the path `missed`, which was not found, is not on a disk that is there either.

        1. the folder is taken away   2. `missed` is not found   3. the folder is put back   4. the disk is there
    so it is looked for again: under the named lock nobody else can have made it."""
    confirm_here(calls, layout, lock_fd)
    try:
        calls.stat(missed)
    except FileNotFoundError:
        return
    raise OSError(errno.ENODEV, "its folder was away for a moment")
