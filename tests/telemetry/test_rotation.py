"""Several writers of one log, each of whom may find it too large."""

from __future__ import annotations

from pathlib import Path

from proxy.telemetry.lines import LineWriter
from proxy.telemetry.rotation import Rotation


def writer(path: Path, rotation: Rotation) -> LineWriter[bytes]:
    made: LineWriter[bytes] = LineWriter(lambda line: line, path=path, rotation=rotation)
    made.open()
    return made


def test_what_is_too_large_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for number in range(5):
        one = writer(path, Rotation(size=100, keep=2))
        assert one.offer(b"%d" % number * 120 + b"\n")
        one.close()
    assert path.read_bytes() == b""
    assert (tmp_path / "access.log.1").read_bytes()[:1] == b"4"
    assert (tmp_path / "access.log.2").read_bytes()[:1] == b"3"
    assert not (tmp_path / "access.log.3").exists()


def test_two_writers_lose_no_line_and_rotate_once_each_time(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    rotation = Rotation(size=4096, keep=1000)
    writers = [writer(path, rotation) for _ in range(2)]
    for number in range(2000):
        for name, one in zip("ab", writers, strict=True):
            assert one.offer(f"{name}{number}\n".encode())
    for one in writers:
        one.close()
    files = [path, *tmp_path.glob("access.log.[0-9]*")]
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{name}{number}" for name in "ab" for number in range(2000))
    assert len(files) > 1
    assert all(file.stat().st_size for file in files if file != path), "nobody puts an empty file aside"


def test_a_file_put_aside_by_others_is_not_put_aside_again(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"x" * 200)
    rotation = Rotation(size=100, keep=3)
    with path.open("rb") as mine:
        rotation.rotate(path, mine.fileno())
        path.write_bytes(b"new")
        rotation.rotate(path, mine.fileno())
    assert path.read_bytes() == b"new"
    assert not (tmp_path / "access.log.2").exists()
