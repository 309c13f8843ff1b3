"""Reading what is not in memory: bounded threads per disk, and what becomes of a disk that hangs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.errors import DiskFailed, Stalled
from proxy.core.sizes import MIB
from proxy.front.cold import ColdReader, read_now, resident
from tests.front.node import PATIENCE, until

CONTENT = os.urandom(2 * MIB + 77)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "f").write_bytes(CONTENT)
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def hung() -> Iterator[tuple[int, int]]:
    """A descriptor whose read waits for ever (a pipe's), and what frees it."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


async def test_cold_read_gives_exactly_what_was_asked(file: int) -> None:
    cold = ColdReader(threads=1, patience=PATIENCE)
    assert await cold.read("a", file, 5, MIB) == CONTENT[5 : 5 + MIB]
    cold.close()


async def test_warmed_pages_are_resident(file: int) -> None:
    cold = ColdReader(threads=1, patience=PATIENCE)
    await cold.warm("a", file, 0, len(CONTENT))
    assert resident(file, 0, len(CONTENT))
    assert read_now(file, 7, 100) == CONTENT[7:107]
    cold.close()


async def test_file_that_ends_early_is_a_failed_disk(file: int) -> None:
    cold = ColdReader(threads=1, patience=PATIENCE)
    with pytest.raises(DiskFailed):
        await cold.read("a", file, len(CONTENT) - 10, 20)
    assert read_now(file, len(CONTENT) - 10, 20) is None
    cold.close()


def _block(fd: int) -> bytes:
    return os.read(fd, 1)


async def test_hung_disk_fails_its_own_reads_and_leaves_the_others_alone(file: int, hung: tuple[int, int]) -> None:
    cold = ColdReader(threads=2, patience=0.2)
    reads = [asyncio.create_task(cold._run("hung", hung[0], _block)) for _ in range(5)]
    await until(lambda: cold.waiting == 5)
    assert await cold.read("sound", file, 0, 100) == CONTENT[:100]
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Stalled] * 5
    assert cold.waiting == 0
    os.write(hung[1], b"xxxxx")  # the disk is back: its threads end
    cold.close()


async def test_no_descriptor_leaks_when_a_reader_leaves(hung: tuple[int, int]) -> None:
    cold = ColdReader(threads=1, patience=PATIENCE)
    pipe = os.fstat(hung[0]).st_ino

    def copies() -> int:
        return sum(os.readlink(f"/proc/self/fd/{fd}") == f"pipe:[{pipe}]" for fd in _descriptors())

    reads = [asyncio.create_task(cold._run("hung", hung[0], _block)) for _ in range(3)]
    await until(lambda: cold.waiting == 3)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
    os.write(hung[1], b"x")
    await until(lambda: copies() == len(hung))
    cold.close()


def _descriptors() -> list[int]:
    """Those of this process; the one used for looking is closed again."""
    return [fd for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{(fd := int(name))}")]


def test_hung_disk_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio, os
from proxy.core.errors import Stalled
from proxy.front.cold import ColdReader
async def main():
    cold = ColdReader(threads=2, patience=0.2)
    try:
        await cold._run("hung", os.pipe()[0], lambda fd: os.read(fd, 1))
    except Stalled:
        cold.close()
        print("stalled")
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"stalled\n", b"")
