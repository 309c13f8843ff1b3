"""What the doctor says of disks, limits and the kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.schema import Disk
from proxy.core.sizes import GIB, MIB
from proxy.service.checkup import KERNEL, kernel
from proxy.service.disk_checkup import FEATURES, disk_findings, filesystem_of, judged, lacking
from proxy.service.finding import Finding, Verdict
from proxy.service.folders import DiskLook

HUGE = 1 << 60
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
proc /proc proc rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
filer:/models /mnt/models nfs4 rw 0 0
filer:/modeles /mnt/modèles nfs4 rw 0 0
/dev/sdb1 /mnt/models/local\\040disk xfs rw 0 0
"""


def found_of(disk: Disk, floor: int, *, is_new: bool = True) -> list[Finding]:
    return disk_findings([DiskLook(disk, None, None, is_new=is_new)], floor)


def verdicts(found: list[Finding]) -> list[str]:
    return [one.verdict.value for one in found]


def test_a_local_disk_is_good_and_what_it_can_is_named(tmp_path: Path) -> None:
    (found,) = [one for one in found_of(Disk(path=tmp_path / "disk"), MIB) if one.verdict is Verdict.GOOD]
    assert "sparse files, locks on ranges (OFD), shared maps (mmap), fdatasync, fallocate" in found.says
    assert "sendfile" in found.says
    assert not list(tmp_path.iterdir()), "it looks only"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/disk", "ext4"),
        ("/dev/shm/disk", "tmpfs"),
        ("/mnt/models", "nfs4"),
        ("/mnt/models/a", "nfs4"),
        ("/mnt/models/local disk/a", "xfs"),
        ("/mnt/modelsx", "ext4"),
        ("/mnt/modèles/a", "nfs4"),
    ],
)
def test_the_file_system_is_the_one_of_the_nearest_mount(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("nfs4", "bad"), ("cifs", "bad"), ("9p", "bad"), ("tmpfs", "poor"), ("overlay", "poor"), ("xfs", None)],
)
def test_disks_of_the_network_are_bad_and_fleeting_ones_poor(kind: str, verdict: str | None) -> None:
    found = judged("disk /d", kind)
    assert (found and found.verdict.value) == verdict
    assert found is None or "a disk of this machine" in found.fix


def test_a_disk_in_memory_is_seen_to_be_one() -> None:
    first, *_, last = found_of(Disk(path=Path("/dev/shm/penstock-doctor")), MIB)
    assert (first.verdict, "it is on tmpfs" in first.says) == (Verdict.POOR, True)
    assert (last.verdict, last.says.startswith("tmpfs, ")) == (Verdict.GOOD, True)


def test_more_than_the_file_system_has_and_less_than_has_to_stay_free_are_said(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    size = room.f_blocks * room.f_frsize
    (large, *_) = found_of(Disk(path=tmp_path, size=HUGE), MIB)
    assert (large.verdict.value, f"--disk {tmp_path}=" in large.fix) == ("poor", True)
    (fits, *_) = found_of(Disk(path=tmp_path, size=size - GIB), GIB // 2)
    assert fits.verdict is Verdict.GOOD
    (floor, *_) = found_of(Disk(path=tmp_path, size=size - GIB // 2), GIB)
    assert "store.free_floor" in floor.says, "what is to stay free is no room"
    low = [one for one in found_of(Disk(path=tmp_path), HUGE) if one.verdict is Verdict.BAD]
    assert ["are free" in one.says and "du -xh" in one.fix for one in low] == [True]
    (used, *_) = found_of(Disk(path=tmp_path), HUGE, is_new=False)
    assert (used.verdict, "the cache gives way" in used.says) == (Verdict.POOR, True), "it has what it can give up"


@pytest.mark.parametrize("number", range(len(FEATURES)))
def test_what_a_file_system_lacks_is_named(tmp_path: Path, number: int) -> None:
    def refused(_fd: int, _path: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    name, verdict, _ = FEATURES[number]
    features = [(one, bad, refused if one == name else tried) for one, bad, tried in FEATURES]
    assert list(lacking(tmp_path, features)) == [(name, verdict, "Operation not supported")]


def settings(**changed: str) -> Callable[[str], str]:
    plenty = {wanted.name: " ".join(["4096", "131072", str(64 * MIB)][-(wanted.field + 1) :]) for wanted in KERNEL}
    plenty |= {wanted.name: str(64 * MIB) for wanted in KERNEL if wanted.field == 0}
    plenty |= {name.replace("__", "."): text for name, text in changed.items()}

    def read(name: str) -> str:
        if plenty[name] == "away":
            raise FileNotFoundError(name)
        return plenty[name]

    return read


def test_a_kernel_with_room_is_good() -> None:
    assert verdicts(list(kernel(settings()))) == ["good"] * len(KERNEL)


@pytest.mark.parametrize(
    ("setting", "text", "fix"),
    [
        ("net__core__somaxconn", "128", "sysctl -w net.core.somaxconn='4096'"),
        ("net__ipv4__tcp_rmem", "4096 131072 524288", "sysctl -w net.ipv4.tcp_rmem='4096 131072 6291456'"),
        ("net__ipv4__tcp_wmem", "4096\t16384\t1048576", "sysctl -w net.ipv4.tcp_wmem='4096 16384 4194304'"),
        ("net__core__rmem_max", "65536", "sysctl -w net.core.rmem_max='212992'"),
        ("net__core__wmem_max", "65536", "sysctl -w net.core.wmem_max='212992'"),
        ("net__ipv4__tcp_max_syn_backlog", "64", "sysctl -w net.ipv4.tcp_max_syn_backlog='1024'"),
    ],
)
def test_a_setting_of_the_kernel_that_is_too_small_is_said_with_the_command(setting: str, text: str, fix: str) -> None:
    (found,) = [one for one in kernel(settings(**{setting: text})) if one.verdict is not Verdict.GOOD]
    assert (found.verdict, found.fix.startswith(fix)) == (Verdict.POOR, True), found


def test_a_setting_that_is_not_shown_is_passed_over() -> None:
    assert len(list(kernel(settings(net__core__somaxconn="away")))) == len(KERNEL) - 1
