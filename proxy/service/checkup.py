"""Is this machine fit for the node of a configuration? (`penstock doctor` without --endpoint.) Each finding comes with
what to do about it. Looks only; what it writes to try a disk out, it removes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.config.schema import Address, Config, Disk
from proxy.core.clock import Clock
from proxy.core.sizes import MIB, format_size

from .finding import Finding, Verdict
from .preflight import hints, obstacles
from .surroundings import surroundings

NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})
FLEETING: Final = frozenset({"tmpfs", "ramfs", "overlay"})
DESCRIPTORS: Final = 65_536
BACKLOG: Final = 4096
SEND_BUFFER: Final = 4 * MIB


async def examined(config: Config, clock: Clock, serving: bool) -> AsyncIterator[Finding]:
    """Everything that can be seen from here; `serving`: a node of this configuration runs, so its ports are taken."""
    for text in obstacles(config):
        yield Finding("configuration", Verdict.BAD, text, "penstock check")
    for text in hints(config):
        yield Finding("configuration", Verdict.POOR, text)
    for disk in config.store.disks:
        for finding in await asyncio.to_thread(_disk_findings, disk, config.store.free_floor):
            yield finding
    for finding in (_descriptors(config), *_kernel()):
        yield finding
    if not serving:
        for flag, address in (("--listen", config.server.listen), ("--admin", config.server.admin)):
            yield await _port(flag, address)
    async for finding in surroundings(config, clock):
        yield finding


def _disk_findings(disk: Disk, floor: int) -> list[Finding]:
    try:
        return list(_disk(disk, floor))
    except OSError as error:
        # What is dead does not say how much room it has; the others are looked at all the same.
        says, fix = f"it cannot be looked at: {error.strerror}", f"ls -ld {disk.path}; dmesg | tail"
        return [Finding(f"disk {disk.path}", Verdict.BAD, says, fix)]


def _disk(disk: Disk, floor: int) -> Iterator[Finding]:
    about, place = f"disk {disk.path}", _existing(disk.path)
    kind = filesystem_of(place)
    if kind in NETWORK:
        yield Finding(about, Verdict.BAD, f"it is on {kind}: locks and maps are not safe there", "use a local disk")
    elif kind in FLEETING:
        yield Finding(about, Verdict.POOR, f"it is on {kind}: what is kept goes with the machine", "use a local disk")
    room = os.statvfs(place)
    free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    if disk.size is not None and disk.size > size:
        says = f"it may hold {format_size(disk.size)}, and the file system has {format_size(size)}"
        yield Finding(about, Verdict.POOR, says, f"set its size to at most {format_size(size * 0.9)}")
    if free < floor:
        says = f"{format_size(free)} are free, and {format_size(floor)} are to stay so: nothing new is kept"
        yield Finding(about, Verdict.BAD, says, "free some room, or lower store.free_floor")
    try:
        _try_out(place)
        says = f"{kind}, {format_size(free)} of {format_size(size)} free; locks, holes, sync"
        yield Finding(about, Verdict.GOOD, says)
    except OSError as error:
        yield Finding(about, Verdict.BAD, f"it cannot be used: {error.strerror}", f"ls -ld {place}; dmesg | tail")


def _try_out(folder: Path) -> None:
    """What the store does: sparse files, locks on ranges, fdatasync. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".penstock-doctor-") as file:
        os.truncate(file.fileno(), 64 * MIB)
        os.pwrite(file.fileno(), b"x", 32 * MIB)
        fcntl.lockf(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 4096)
        os.fdatasync(file.fileno())


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def filesystem_of(path: Path) -> str:
    """The kind of file system that `path` is on, as the kernel calls it."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        mount = mount.encode().decode("unicode_escape")
        inside = str(path.resolve()) == mount or str(path.resolve()).startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def _descriptors(config: Config) -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = min(DESCRIPTORS, config.limits.connections * 3)
    if hard != resource.RLIM_INFINITY and hard < needed:
        says = f"at most {hard} open files; {config.limits.connections} connections may need {needed}"
        return Finding("limits", Verdict.POOR, says, f"ulimit -n {needed}, or LimitNOFILE={needed} in the unit")
    return Finding("limits", Verdict.GOOD, f"{hard} open files")


def _kernel() -> Iterator[Finding]:
    wanted = (
        ("net.core.somaxconn", 0, BACKLOG, "connections that wait while the node is busy"),
        ("net.ipv4.tcp_wmem", 2, SEND_BUFFER, "bytes on their way to one client far off"),
    )
    for name, field, least, what in wanted:
        with suppress(OSError, ValueError, IndexError):
            texts = Path(f"/proc/sys/{name.replace('.', '/')}").read_text().split()
            found = int(texts[field])
            if found >= least:
                yield Finding("kernel", Verdict.GOOD, f"{name}: {found} ({what})")
            else:
                texts[field] = str(least)
                fix = f"sysctl -w {name}='{' '.join(texts)}'"
                yield Finding("kernel", Verdict.POOR, f"{name} is {found} ({what}); {least} is better", fix)


async def _port(flag: str, address: Address) -> Finding:
    about = f"port {address}"
    try:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), address.host, address.port)
    except OSError as error:
        fix = f"ss -ltnp 'sport = :{address.port}', or another: {flag} {address.host}:0"
        return Finding(about, Verdict.BAD, f"it cannot be listened on: {error.strerror}", fix)
    server.close()
    return Finding(about, Verdict.GOOD, "free")
