"""What is kept of a place has changed: every worker knows at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.catalogue.place_changes import FILE, SLOTS, PlaceChanges

ONE, OTHER = b"\x00\x01" + bytes(30), b"\x00\x02" + bytes(30)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[PlaceChanges, PlaceChanges]]:
    here, there = PlaceChanges(), PlaceChanges()
    here.open(tmp_path)
    there.open(tmp_path)
    yield here, there
    here.close()
    there.close()


def test_a_change_is_seen_by_both_and_of_its_place_alone(two: tuple[PlaceChanges, PlaceChanges]) -> None:
    here, there = two
    for changing in two:
        seen = [one.noted(ONE) for one in two]
        kept = [one.noted(OTHER) for one in two]
        changing.happened(ONE)
        assert [noted.holds for noted in (*seen, *kept)] == [False, False, True, True]
    everything = [here.noted(bytes([0, slot]) + bytes(30)) for slot in range(256)]
    there.happened_everywhere()
    assert not any(noted.holds for noted in everything)


def test_two_writers_at_once_need_no_lock(two: tuple[PlaceChanges, PlaceChanges]) -> None:
    here, there = two
    before = here.noted(ONE)
    here.happened(ONE)
    between = here.noted(ONE)
    there.happened(ONE)
    assert not before.holds
    assert not between.holds


def test_without_a_page_a_worker_knows_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alone = PlaceChanges()
    alone.open(tmp_path / "absent")
    assert "at once" in caplog.text
    noted = alone.noted(ONE)
    assert noted.holds
    alone.happened(ONE)
    assert not noted.holds


def test_a_disk_that_takes_nothing_is_no_error(
    two: tuple[PlaceChanges, PlaceChanges], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here, _ = two
    noted = here.noted(ONE)
    assert here._fd is not None
    read_only = os.open(tmp_path / FILE, os.O_RDONLY)
    os.dup2(read_only, here._fd)
    os.close(read_only)
    here.happened(ONE)
    assert not noted.holds
    assert "late" in caplog.text


def test_the_page_is_as_large_as_it_says(two: tuple[PlaceChanges, PlaceChanges], tmp_path: Path) -> None:
    assert (tmp_path / FILE).stat().st_size == SLOTS * 8
