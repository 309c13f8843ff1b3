"""Locks between open file descriptions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store import rangelock


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[int, int]]:
    fds = [os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT) for _ in range(2)]
    yield fds[0], fds[1]
    for fd in fds:
        os.close(fd)


def test_overlapping_ranges_exclude_each_other_and_neighbours_do_not(pair: tuple[int, int]) -> None:
    ours, theirs = pair
    assert rangelock.try_lock(ours, 10, 5)
    assert not rangelock.try_lock(theirs, 14, 3)
    assert rangelock.try_lock(theirs, 15, 3)


def test_freeing_a_part_of_a_range_frees_that_part(pair: tuple[int, int]) -> None:
    ours, theirs = pair
    rangelock.try_lock(ours, 0, 10)
    rangelock.unlock(ours, 4, 2)
    assert rangelock.try_lock(theirs, 4, 2)
    assert not rangelock.try_lock(theirs, 3, 1)


def test_readers_share_and_keep_a_writer_out(pair: tuple[int, int]) -> None:
    ours, theirs = pair
    assert rangelock.try_lock(ours, 0, shared=True)
    assert rangelock.try_lock(theirs, 0, shared=True)
    assert not rangelock.try_lock(theirs, 0)


def test_a_lock_ends_with_its_description(tmp_path: Path) -> None:
    first = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    second = os.open(tmp_path / "file", os.O_RDWR)
    rangelock.try_lock(first, 0)
    assert rangelock.held_by_another(second, 0)
    os.close(first)
    assert not rangelock.held_by_another(second, 0)
    os.close(second)
