"""Every call that touches a disk of the store, in one place: so that a test can make the n-th one fail or hang."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from proxy.core.sizes import KIB


class Syscalls:
    """The real ones. Each raises OSError as the kernel says."""

    def open(self, path: str, flags: int, *, folder: int | None = None) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o644, dir_fd=folder)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)

    def pread_into(self, fd: int, room: memoryview, offset: int) -> int:
        return os.preadv(fd, [room], offset)

    def pwritev(self, fd: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
        return os.pwritev(fd, pieces, offset)

    def poke(self, fd: int, content: bytes, offset: int) -> None:
        """Write a few bytes of a file that has them already."""
        if os.pwrite(fd, content, offset) != len(content):
            raise OSError(errno.ENOSPC, "a write was cut short")

    def allocate(self, fd: int, size: int) -> None:
        os.posix_fallocate(fd, 0, size)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o755)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(path)

    def stat(self, path: str) -> os.stat_result:
        return os.stat(path, follow_symlinks=False)

    def fstat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def touch(self, fd: int) -> None:
        os.utime(fd)

    def statvfs(self, path: str) -> os.statvfs_result:
        return os.statvfs(path)


WRITE: Final = 128 * KIB
"""Most bytes of one write. The page cache takes its pages for a write as one stretch of memory: long stretches have not
been in use lately, so a virtual machine has to be given them first, which costs several times the copying."""
_VECTOR: Final = 512
"""Pieces per pwritev; the kernel takes at most 1024 (IOV_MAX)."""


def write_all(calls: Syscalls, fd: int, pieces: Sequence[bytes | memoryview], offset: int) -> None:
    """Write `pieces` one after another from `offset` on, however short the kernel's single writes are.

    Raises OSError; a write that moves nothing counts as a full disk."""
    rest: list[memoryview] = [memoryview(piece) for piece in pieces if len(piece)]
    while rest:
        now, later = beginning(rest, WRITE)
        while now:
            written = calls.pwritev(fd, now[:_VECTOR], offset)
            if written <= 0:
                raise OSError(errno.ENOSPC, "a write moved no byte")
            offset += written
            _, now = beginning(now, written)
        rest = later


def beginning(pieces: list[memoryview], size: int) -> tuple[list[memoryview], list[memoryview]]:
    """The first `size` bytes of `pieces`, fewer only where they end, and what is left."""
    taken: list[memoryview] = []
    for index, piece in enumerate(pieces):
        if len(piece) >= size:
            left = [piece[size:]] if len(piece) > size else []
            return [*taken, piece[:size]], left + pieces[index + 1 :]
        taken.append(piece)
        size -= len(piece)
    return taken, []


def read_all(calls: Syscalls, fd: int, length: int, offset: int) -> bytes:
    """`length` bytes from `offset` on; fewer only where the file ends. Raises OSError."""
    pieces: list[bytes] = []
    while length:
        piece = calls.pread(fd, length, offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_into(calls: Syscalls, fd: int, room: memoryview, offset: int) -> int:
    """Fill `room` with the bytes from `offset` on; how many there were: fewer only where the file ends. Raises
    OSError."""
    filled = 0
    while filled < len(room):
        got = calls.pread_into(fd, room[filled:], offset + filled)
        if not got:
            break
        filled += got
    return filled


def delete_tree(calls: Syscalls, path: str) -> None:
    """Delete a file, or a folder of files. What is gone already is as it should be."""
    try:
        calls.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        for name in calls.listdir(path):
            delete_tree(calls, f"{path}/{name}")
        calls.rmdir(path)


def make_folder(calls: Syscalls, path: str) -> None:
    """Make `path` unless it exists; its parent exists."""
    try:
        calls.mkdir(path)
    except FileExistsError:
        return
