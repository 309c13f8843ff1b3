"""Folders before a start: whether the node could write there, and how much room there is. Looks only, makes nothing.

Every look has a deadline: see `looking`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from proxy.config.schema import Disk
from proxy.core.sizes import MIB
from proxy.store.recovery import refusal_of

from .looking import looked_at, silent

_LEAST_ROOM: Final = MIB
"""Bytes without which not even the indexes can be opened."""


@dataclass(frozen=True, slots=True)
class DiskLook:
    """A disk as it was found: why it cannot be used, if it cannot, and bytes free, if it says so; `is_new`: no node has
    used it yet."""

    disk: Disk
    obstacle: str | None
    free: int | None
    answers: bool = True
    is_new: bool = False


def disks_looked_at(disks: Sequence[Disk]) -> list[DiskLook]:
    """Each of `disks` as it is now. Blocks for at most `LOOK_WITHIN`, however many of them hang."""
    found = looked_at([partial(_look, disk) for disk in disks])
    return [look or _hung(disk) for disk, look in zip(disks, found, strict=True)]


def answered(what: str, look: Callable[[], str | None]) -> str | None:
    """What `look` at `what` gives, or that it does not answer."""
    (found,) = looked_at([lambda: (look(),)])
    return silent(what) if found is None else found[0]


def _hung(disk: Disk) -> DiskLook:
    return DiskLook(disk, silent(f"disk {disk.path}"), None, answers=False)


def _look(disk: Disk) -> DiskLook:
    is_new = not os.path.exists(disk.path / "disk.json")
    return DiskLook(disk, _obstacle(disk.path), free_at(disk.path), is_new=is_new)


def _obstacle(path: Path) -> str | None:
    try:
        if found := folder_obstacle(f"disk {path}", path, "--disk"):
            return found
    except OSError as error:
        return f"disk {path}: it cannot be looked at: {error.strerror}; dmesg | tail"
    try:
        refused = refusal_of(path)
    except OSError as error:
        return f"disk {path}: its disk.json cannot be read: {error.strerror}; ls -l {path}/disk.json"
    return None if refused is None else f"disk {path}: {refused}"


def folder_obstacle(what: str, path: Path, flag: str) -> str | None:
    """Why `path` is no folder we can write to, and could not be made one; None when it is or could."""
    standing = nearest(path)
    if not os.path.isdir(standing):
        return f"{what}: {standing} is a file, not a folder; name another place with {flag}"
    if os.statvfs(standing).f_flag & os.ST_RDONLY:
        return f"{what}: its file system is mounted read-only; remount it, or name another place with {flag}"
    if not os.access(standing, os.W_OK | os.X_OK):
        verb = "write to" if standing == path else f"make it, for lack of permission in {standing}; nor write to"
        return f"{what}: cannot {verb} it as user id {os.geteuid()}; run: sudo install -d -o {os.geteuid()} {path}"
    if (free_at(path) or 0) < _LEAST_ROOM:
        return f"{what}: its file system is full; make room there, or name another place with {flag}"
    return None


def file_obstacle(what: str, path: Path) -> str | None:
    """Why no file could be written at `path`; None when one could."""
    folder = path.parent
    if not os.path.isdir(folder):
        return f"{what} {path}: the folder {folder} does not exist; run: mkdir -p {folder}"
    if os.path.isdir(path):
        return f"{what} {path}: it is a folder; name a file"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{what} {path}: no permission to write in {folder}; run: sudo chown {os.geteuid()} {folder}"
    return None


def nearest(path: Path) -> Path:
    """`path` itself, or the closest ancestor that exists."""
    # Not Path.exists, which raises where a folder on the way may not be entered.
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path


def free_at(path: Path) -> int | None:
    """Bytes free where `path` is, or would be; None when that cannot be seen."""
    try:
        room = os.statvfs(nearest(path))
    except OSError:
        return None
    return room.f_bavail * room.f_frsize
