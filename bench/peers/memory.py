"""What a warm row reads stays in memory: a server's files are mapped and locked by us, for all servers alike.

Without it the kernel may take away what nobody has touched for a while, and a warm row is partly a cold one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MAP_LOCKED: Final = 0x2000
"""From asm-generic/mman.h; Python does not name it. As `mlock`, which reads what is not in memory, too."""
_BLOCK: Final = 512
_WHOLE: Final = 0.9
"""Share of a file that has to be on the disk: a hole that is locked would take memory for nothing."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[int | None]:
    """The files of a server's cache in memory, until the block ends; gives how many bytes that is.

    None when not all can be held (RLIMIT_MEMLOCK, of who is not root): then none is. Files that are made or grow
    later are not held; what is removed meanwhile stays on the disk until the end.
    """
    with contextlib.ExitStack() as stack:
        try:
            count: int | None = sum(_locked(path, stack) for path in folder.rglob("*"))
        except (BlockingIOError, PermissionError):
            stack.close()
            count = None
        yield count


def _locked(path: Path, stack: contextlib.ExitStack) -> int:
    """Bytes of the file that are held; 0 for what is no file, has holes, or went away."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        about = os.fstat(fd)
        size = about.st_size
        if not size or not path.is_file() or about.st_blocks * _BLOCK < _WHOLE * size:
            return 0
        mapping = mmap.mmap(fd, size, flags=mmap.MAP_SHARED | _MAP_LOCKED, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
    stack.callback(mapping.close)
    return size
