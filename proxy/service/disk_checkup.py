"""Is a disk fit for the store? Its file system, the room on it, and all that the store will ask of it, tried out.

What is written to try it out is removed. Every look has a deadline: see `looking`.
"""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from proxy.config.schema import Disk
from proxy.core.sizes import MIB, format_size
from proxy.store import rangelock

from .finding import Finding, Verdict
from .folders import DiskLook, nearest
from .looking import looked_at, silent

NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "fuse.glusterfs", "lustre"})
FLEETING: Final = frozenset({"tmpfs", "ramfs", "overlay"})
_TRIED: Final = 64 * MIB
"""Bytes of the file with which a disk is tried out; all but a few are a hole."""
Feature = tuple[str, Verdict, Callable[[int, Path], None]]
"""Something a file system may have: its name, how bad it is to be without, and how it is tried out on an open file."""

_LOCAL: Final = "use a disk of this machine, with ext4 or XFS"


def disk_findings(looks: Sequence[DiskLook], floor: int) -> list[Finding]:
    """What there is to say of each disk, `floor` bytes of which are to stay free. One that has not answered a first
    look is asked for nothing more."""
    found = looked_at([partial(_findings, look, floor) for look in looks if look.answers])
    tried = dict(zip([look.disk.path for look in looks if look.answers], found, strict=True))
    return [finding for look in looks for finding in tried.get(look.disk.path) or [_hung(look.disk)]]


def _hung(disk: Disk) -> Finding:
    says, _, fix = silent("it").partition("; ")
    return Finding(f"disk {disk.path}", Verdict.BAD, says, f"{fix}      (or leave it out of store.disks)")


def _findings(look: DiskLook, floor: int) -> list[Finding]:
    disk = look.disk
    try:
        return list(_look(disk, floor, is_new=look.is_new))
    except OSError as error:
        # What is dead does not say how much room it has; the others are looked at all the same.
        says, fix = f"it cannot be looked at: {error.strerror}", f"ls -ld {disk.path}; dmesg | tail"
        return [Finding(f"disk {disk.path}", Verdict.BAD, says, fix)]


def _look(disk: Disk, floor: int, *, is_new: bool) -> Iterator[Finding]:
    about, place = f"disk {disk.path}", nearest(disk.path)
    kind = filesystem_of(place, os.fsdecode(Path("/proc/self/mounts").read_bytes()))
    if (finding := judged(about, kind)) is not None:
        yield finding
    room = os.statvfs(place)
    free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    if disk.size is not None and disk.size > size - floor:
        says = (
            f"it may hold {format_size(disk.size)}; the file system has {format_size(size)}, of which "
            f"{format_size(floor)} are to stay free (store.free_floor)"
        )
        fix = f"set its size to at most {format_size(max(0, size - floor))}: --disk {disk.path}=SIZE"
        yield Finding(about, Verdict.POOR, says, fix)
    if free < floor:
        verdict, so = (Verdict.BAD, "nothing new is kept") if is_new else (Verdict.POOR, "the cache gives way")
        says = f"{format_size(free)} are free, and {format_size(floor)} are to stay so: {so}"
        yield Finding(about, verdict, says, f"du -xh {place} | sort -h | tail      (or lower store.free_floor)")
    lacks = list(lacking(place, FEATURES))
    for name, verdict, why in lacks:
        yield Finding(about, verdict, f"no {name} there: {why}", _LOCAL if verdict is Verdict.BAD else _FASTER)
    if not any(verdict is Verdict.BAD for _, verdict, _ in lacks):
        has = ", ".join(name for name, _, _ in FEATURES if name not in {lack[0] for lack in lacks})
        yield Finding(about, Verdict.GOOD, f"{kind}, {format_size(free)} of {format_size(size)} free; {has}")


_FASTER: Final = "it works without, more slowly; a disk of this machine with ext4 or XFS has it"


def judged(about: str, kind: str) -> Finding | None:
    """What is to be said of a file system of that kind; None when nothing is. Pure."""
    if kind in NETWORK:
        return Finding(about, Verdict.BAD, f"it is on {kind}: locks and maps are not safe there", _LOCAL)
    if kind in FLEETING:
        return Finding(about, Verdict.POOR, f"it is on {kind}: what is kept goes with the machine", _LOCAL)
    return None


def filesystem_of(path: Path, mounts: str) -> str:
    """The kind of file system that `path` is on, by `mounts` (/proc/self/mounts), as the kernel calls it."""
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _, mount, found, *_ = line.split()
        mount = os.fsdecode(os.fsencode(mount).decode("unicode_escape").encode("latin-1"))
        inside = str(path.resolve()) == mount or str(path.resolve()).startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, found
    return kind


# --- what the store and the front ask of a file system -------------------------------------------------------------


def lacking(folder: Path, features: Sequence[Feature]) -> Iterator[tuple[str, Verdict, str]]:
    """Which of `features` the file system of `folder` has not: name, how bad that is, what was said. Raises OSError
    where nothing can be written at all."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".penstock-doctor-") as file:
        for name, verdict, tried in features:
            try:
                os.ftruncate(file.fileno(), _TRIED)
                tried(file.fileno(), Path(file.name))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                    raise
                yield name, verdict, error.strerror or str(error)


def _holes(fd: int, path: Path) -> None:
    os.pwrite(fd, b"x", _TRIED // 2)
    if os.fstat(fd).st_blocks * 512 > _TRIED // 2:
        raise OSError(errno.EOPNOTSUPP, "a byte in the middle of a sparse file takes the room of all before it")


def _locks(fd: int, path: Path) -> None:
    """Of ranges, and of descriptions: another one of this very process is kept out."""
    other = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not rangelock.try_lock(fd, 4096) or rangelock.try_lock(other, 4096):
            raise OSError(errno.ENOLCK, "a lock on a range keeps nobody out")
    finally:
        os.close(other)


def _map(fd: int, path: Path) -> None:
    """What is written is seen by those who have mapped it, at once."""
    with mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ) as seen:
        os.pwrite(fd, b"seen", 128)
        if seen[128:132] != b"seen":
            raise OSError(errno.EOPNOTSUPP, "what is written is not seen in a map of the file")


def _sync(fd: int, path: Path) -> None:
    os.fdatasync(fd)


def _allocate(fd: int, path: Path) -> None:
    os.posix_fallocate(fd, 0, MIB)


def _link(fd: int, path: Path) -> None:
    second = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    os.link(path, second)
    os.unlink(second)


def _rename(fd: int, path: Path) -> None:
    away = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    os.rename(path, away)
    os.rename(away, path)


def _send(fd: int, path: Path) -> None:
    """From the file to a socket, as every large body goes."""
    near, far = socket.socketpair()
    with near, far:
        os.sendfile(near.fileno(), fd, 128, 4)


def _peek(fd: int, path: Path) -> None:
    """Whether bytes are in memory, asked without waiting for the disk."""
    try:
        os.preadv(fd, [bytearray(1)], 128, os.RWF_NOWAIT)
    except BlockingIOError:
        return  # it can tell: they are not


FEATURES: Final[tuple[Feature, ...]] = (
    ("sparse files", Verdict.BAD, _holes),
    ("locks on ranges (OFD)", Verdict.BAD, _locks),
    ("shared maps (mmap)", Verdict.BAD, _map),
    ("fdatasync", Verdict.BAD, _sync),
    ("fallocate", Verdict.BAD, _allocate),
    ("hard links", Verdict.BAD, _link),
    ("rename", Verdict.BAD, _rename),
    ("sendfile", Verdict.BAD, _send),
    ("reads that do not wait (RWF_NOWAIT)", Verdict.POOR, _peek),
)
"""In the order in which they are told."""
