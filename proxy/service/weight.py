"""What a node weighs in its fleet: the bytes its disks may hold."""

from __future__ import annotations

import os
from typing import Final

from proxy.config.schema import Disk, StoreSection

_OF_A_WHOLE_DISK: Final = 0.9


def node_weight(store: StoreSection) -> int:
    """The sum of the disks' sizes, in bytes. For a disk without one it is most of its file system, used or not: a
    weight must not change while a node runs, nor from worker to worker, because slices move with it. A disk that cannot
    be looked at weighs nothing."""
    return max(1, sum(_weight(disk) for disk in store.disks))


def _weight(disk: Disk) -> int:
    if disk.size is not None:
        return disk.size
    try:
        room = os.statvfs(disk.path)
    except OSError:
        return 0
    return int(room.f_blocks * room.f_frsize * _OF_A_WHOLE_DISK)
