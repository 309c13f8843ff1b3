"""The writer: whole lines, never blocking, losses counted."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

from proxy.telemetry.lines import PIPE_BUF, LineWriter


def writer(path: Path | None = None, **options: object) -> LineWriter[bytes]:
    return LineWriter(lambda line: line, path=path, **options)  # type: ignore[arg-type]


def test_a_full_buffer_drops_and_counts() -> None:
    lost: list[int] = []
    blocked, go = Event(), Event()

    def render(line: bytes) -> bytes:
        blocked.set()
        go.wait(10)
        return line

    reading, writing = os.pipe()
    lines: LineWriter[bytes] = LineWriter(render, fd=writing, capacity=2, on_lost=lost.append)
    lines.open()
    lines.offer(b"1\n")
    assert blocked.wait(10)
    assert [lines.offer(b"2\n"), lines.offer(b"3\n"), lines.offer(b"4\n")] == [True, True, False]
    go.set()
    lines.close()
    assert lost == [1]
    assert os.read(reading, 100) == b"1\n2\n3\n"
    os.close(reading)
    os.close(writing)


def test_a_pipe_nobody_reads_blocks_the_thread_alone() -> None:
    lost: list[int] = []
    reading, writing = os.pipe()
    lines = writer(fd=writing, capacity=100, on_lost=lost.append)
    lines.open()
    for _ in range(2_000):
        lines.offer(b"x" * 1000 + b"\n")
    lines.close(timeout=0.1)
    assert sum(lost) > 1000
    os.close(reading)  # The blocked write fails and the thread ends.
    lines._thread.join(10)
    os.close(writing)


def test_a_descriptor_made_non_blocking_by_others_loses_nothing() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    lines = writer(fd=writing, capacity=10_000)
    lines.open()
    expected = b"".join(b"%05d %s\n" % (number, b"x" * 200) for number in range(2_000))
    for line in expected.splitlines(keepends=True):
        assert lines.offer(line)
    received = b""
    while len(received) < len(expected):
        received += os.read(reading, 65_536)
    lines.close()
    assert received == expected
    os.close(reading)
    os.close(writing)


def test_to_a_pipe_no_write_is_longer_than_what_the_kernel_keeps_whole() -> None:
    reading, writing = os.pipe()
    lines = writer(fd=writing)
    blocks = lines._blocks([b"x" * 1500 + b"\n"] * 10 + [b"y" * 5000 + b"\n"])
    assert all(len(block) <= PIPE_BUF or block.count(b"\n") == 1 for block in blocks)
    assert all(block.endswith(b"\n") for block in blocks if block)
    assert sum(map(len, blocks)) == 1501 * 10 + 5001
    os.close(reading)
    os.close(writing)


def test_a_rotated_file_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = writer(path)
    lines.open()
    lines.offer(b"before\n")
    _until(lambda: path.read_bytes() == b"before\n")
    path.rename(tmp_path / "log.1")
    lines.reopen()
    _until(path.exists)
    lines.offer(b"after\n")
    lines.close()
    assert (tmp_path / "log.1").read_bytes() == b"before\n"
    assert path.read_bytes() == b"after\n"


def test_a_full_disk_costs_lines_and_is_counted() -> None:
    lost: list[int] = []
    lines = writer(Path("/dev/full"), on_lost=lost.append)
    lines.open()
    lines.offer(b"x\n")
    lines.close()
    assert lost == [1]


def test_a_line_that_cannot_be_rendered_does_not_end_the_log(tmp_path: Path) -> None:
    lost: list[int] = []
    lines: LineWriter[int] = LineWriter(
        lambda number: b"%d\n" % (1 // number), path=tmp_path / "log", on_lost=lost.append
    )
    lines.open()
    for number in (1, 0, 1):
        lines.offer(number)
    lines.close()
    assert (tmp_path / "log").read_bytes() == b"1\n1\n"
    assert lost == [1]


def _until(condition: object) -> None:
    assert callable(condition)
    for _ in range(1000):
        if condition():
            return
        Event().wait(0.01)
    raise AssertionError("not in ten seconds")
