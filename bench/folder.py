"""Where a run keeps what it makes on the way, until it ends; the next run clears up after one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "penstock-bench-"
_LOCK: Final = "lock"


@contextlib.contextmanager
def folder_of_a_run() -> Iterator[Path]:
    """A folder that is gone in the end. It is locked meanwhile: a lock dies with its holder, whatever kills it."""
    clear()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        path = Path(name)
        with (path / f".{_LOCK}").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (path / f".{_LOCK}").rename(path / _LOCK)  # others never see it unlocked
            yield path


def clear() -> list[Path]:
    """Remove the folders of our own runs that were killed, with what is mounted there; gives those."""
    return [path for path in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")) if _cleared(path)]


def _cleared(path: Path) -> bool:
    try:
        with (path / _LOCK).open("rb") as lock:
            if os.fstat(lock.fileno()).st_uid != os.geteuid():
                return False
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for volume in path.glob("*/volume"):
                if volume.is_mount():
                    subprocess.run(["umount", "--lazy", str(volume)], check=False, capture_output=True)
            shutil.rmtree(path, ignore_errors=True)
            return True
    except OSError:  # it is in use, or its run has not come to lock it
        return False
