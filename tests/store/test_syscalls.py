"""Writing pieces of any size: what is in the file, and in which steps it came there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store.syscalls import WRITE, Syscalls, beginning, write_all


class Watched(Syscalls):
    """The real calls; remembers how much each write was given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def pwritev(self, fd: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
        self.sizes.append(sum(map(len, pieces)))
        return super().pwritev(fd, pieces, offset)


@pytest.mark.parametrize(
    "lengths", [[1], [WRITE], [WRITE + 1], [3 * WRITE], [WRITE - 1, 2, 0, WRITE], [1] * 2000, [5 * WRITE, 1, 77_777]]
)
def test_pieces_are_written_one_after_another_in_writes_of_bounded_size(tmp_path: Path, lengths: list[int]) -> None:
    calls, pieces = Watched(), [os.urandom(length) for length in lengths]
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        write_all(calls, fd, pieces, 1000)
        assert os.pread(fd, sum(lengths) + 1, 1000) == b"".join(pieces)
    finally:
        os.close(fd)
    assert max(calls.sizes) <= WRITE


def test_a_long_piece_is_written_in_the_longest_writes_there_are(tmp_path: Path) -> None:
    calls = Watched()
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        write_all(calls, fd, [bytes(3 * WRITE + 5)], 0)
    finally:
        os.close(fd)
    assert calls.sizes == [WRITE, WRITE, WRITE, 5]


@given(st.lists(st.binary(max_size=9), max_size=6), st.integers(0, 60))
def test_the_beginning_and_what_is_left_are_the_whole(pieces: list[bytes], size: int) -> None:
    taken, left = beginning([memoryview(piece) for piece in pieces], size)
    whole = b"".join(pieces)
    assert b"".join(taken) == whole[:size]
    assert b"".join(left) == whole[size:]
