"""Where workers keep the metrics that their supervisor reads."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.core.clock import Clock


@dataclass(frozen=True, slots=True)
class MetricsFolder:
    """The folder, and the descriptor whose lock says that it is in use."""

    path: Path
    lock: int


@contextmanager
def inherited_folder(path: Path, lock: int) -> Iterator[MetricsFolder]:
    """The folder of the program before us, for which its workers and ours count."""
    try:
        yield MetricsFolder(path, lock)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


@contextmanager
def metrics_folder(clock: Clock, root: Path | None = None) -> Iterator[MetricsFolder]:
    """A private folder, gone at the end; those that killed runs left are removed at the start."""
    root = Path(tempfile.gettempdir()) if root is None else root
    prefix = f"penstock-metrics-{os.getuid()}-"
    for old in root.glob(f"{prefix}*"):
        _remove_if_abandoned(old, clock)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    # The lock says "in use" for as long as we live, to other containers on the same folder too, where pids say nothing.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield MetricsFolder(folder, lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_if_abandoned(folder: Path, clock: Clock) -> None:
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # A folder this young may be between its making and its lock.
            if clock.wall() - os.fstat(handle).st_mtime < 60:
                return
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
