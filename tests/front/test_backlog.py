"""What may wait behind a reader follows its pace."""

from __future__ import annotations

import pytest

from proxy.core.sizes import KIB, MIB
from proxy.front.backlog import MOMENT, MOST, Backlog

LEAST = 256 * KIB


@pytest.mark.parametrize(
    ("rate", "bound"),
    [(100_000, LEAST), (5_000_000, LEAST), (100_000_000, 5_000_000), (3_000_000_000, MOST)],
    ids=["a modem", "a house", "a gigabit", "loopback"],
)
def test_a_moment_of_its_pace_may_wait(rate: int, bound: int) -> None:
    backlog = Backlog(LEAST)
    backlog.took(rate // 10, 0.1)
    assert backlog.bound == bound


def test_what_the_buffers_swallow_at_first_says_nothing() -> None:
    backlog = Backlog(LEAST)
    assert not backlog.took(4 * MIB, 0.001)
    assert not backlog.took(100_000, 60.0)
    assert backlog.bound == LEAST


def test_short_bodies_of_one_connection_add_up() -> None:
    backlog = Backlog(LEAST)
    assert [backlog.took(16 * MIB, MOMENT / 4) for _ in range(4)] == [False, False, False, True]
    assert backlog.bound == MOST


def test_a_reader_that_slows_down_gets_the_least_again() -> None:
    backlog = Backlog(LEAST)
    backlog.took(300 * MIB, 0.1)
    assert backlog.took(10_000, 0.5)
    assert backlog.bound == LEAST


def test_little_changes_of_pace_change_nothing() -> None:
    backlog = Backlog(LEAST)
    backlog.took(10 * MIB, 0.1)
    assert not backlog.took(15 * MIB, 0.1)
    assert not backlog.took(8 * MIB, 0.1)
