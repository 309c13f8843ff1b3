"""What is asked of systemd and the file system."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

from proxy.core.clock import ManualClock, SystemClock
from proxy.service.folder import metrics_folder
from proxy.service.system import share_of_open_files, tell_systemd


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        assert tell_systemd("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_told(tmp_path: Path) -> None:
    assert not tell_systemd("READY=1", {})
    assert not tell_systemd("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_folders_of_killed_runs_are_removed_and_those_in_use_are_not(tmp_path: Path) -> None:
    prefix = f"penstock-metrics-{os.getuid()}-"
    abandoned, used = tmp_path / f"{prefix}abandoned", tmp_path / f"{prefix}used"
    abandoned.mkdir()
    used.mkdir()
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with metrics_folder(ManualClock(SystemClock().wall() + 3600), tmp_path) as ours:
            assert not abandoned.exists()
            assert used.exists()
            assert ours.path.is_dir()
        assert not ours.path.exists()
    finally:
        os.close(lock)


def test_a_young_folder_is_left_alone(tmp_path: Path) -> None:
    young = tmp_path / f"penstock-metrics-{os.getuid()}-young"
    young.mkdir()
    with metrics_folder(SystemClock(), tmp_path):
        assert young.exists()


def test_open_files_are_counted_against_the_limit(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    before = share_of_open_files()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context((tmp_path / "file").open("w"))
        assert round((share_of_open_files() - before) * limit) == 20
