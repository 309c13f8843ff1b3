"""A log file that does not grow for ever: `log` becomes `log.1`, that becomes `log.2`, the oldest goes.

Several workers append to one file. Whoever finds it too large takes a lock (flock on `log.lock`, which dies with its
holder) and looks again: is the name still that of the file I have open?

    1. A and B find it too large   2. A locks, renames, opens a new one   3. B locks, finds another file under the name
    B opens that and renames nothing; and a worker that finds nothing too large yet goes on in `log.1` until it does.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rotation:
    """At which size (bytes) a file is put aside, and how many of those put aside are kept."""

    size: int
    keep: int

    def is_due(self, fd: int) -> bool:
        """Whether the open file is too large. Raises OSError."""
        return os.fstat(fd).st_size >= self.size

    def rotate(self, path: Path, fd: int) -> None:
        """Put the file at `path` aside if it is the one that is open as `fd`; afterwards `path` is to be opened anew.
        Blocks; raises OSError."""
        with open(path.with_name(f"{path.name}.lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_at(path, fd):
                return
            for number in range(self.keep - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.rename(_aside(path, number), _aside(path, number + 1))
            os.rename(path, _aside(path, 1))


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _is_at(path: Path, fd: int) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    ours = os.fstat(fd)
    return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)
