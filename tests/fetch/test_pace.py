"""When a peer is too slow, and what that may cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sizes import MIB
from proxy.fetch.pace import CREDIT, HEDGED, LASTS, HedgeBudget, Pace, Stride

EVENTS = st.lists(st.tuples(st.booleans(), st.integers(1, 64 * MIB)), max_size=60)


LANDINGS = st.lists(st.tuples(st.integers(1, 64 * MIB), st.floats(0.0, 60.0)), max_size=60)


@given(LANDINGS, st.sampled_from([MIB, 4 * MIB]), st.sampled_from([MIB, 2 * MIB, 6 * MIB, 16 * MIB, 64 * MIB]))
def test_a_stride_stays_within_its_bounds_and_never_jumps(
    landings: list[tuple[int, float]], least: int, most: int
) -> None:
    stride = Stride(least, most)
    for count, seconds in landings:
        before = stride.size
        stride.landed(count, seconds)
        assert min(least, most) <= stride.size <= most
        assert before / 2 <= stride.size <= 2 * before


def settled(*rates: float) -> int:
    """After ten spans at each of these rates (bytes per second)."""
    stride = Stride(4 * MIB, 64 * MIB)
    for rate in rates:
        for _ in range(10):
            stride.landed(stride.size, stride.size / rate)
    return stride.size


@pytest.mark.parametrize(("rate", "size"), [(1, 4), (10, 4), (24, 8), (80, 32), (200, 64), (5000, 64)])
def test_a_stride_is_what_comes_in_half_a_second(rate: int, size: int) -> None:
    assert settled(rate * MIB) == size * MIB
    assert LASTS == 0.5


def test_a_stride_shrinks_when_bytes_come_slowly() -> None:
    assert settled(5000 * MIB, 10 * MIB) == 4 * MIB


def test_where_spans_may_be_no_larger_there_is_one_stride() -> None:
    stride = Stride(4 * MIB, 2 * MIB)
    for seconds in (0.0, 100.0):
        stride.landed(2 * MIB, seconds)
        assert stride.size == 2 * MIB


@given(EVENTS)
def test_no_more_than_its_share_is_ever_hedged(events: list[tuple[bool, int]]) -> None:
    budget, fetched, hedged = HedgeBudget(), 0, 0
    for is_fetch, count in events:
        if is_fetch:
            budget.fetched(count)
            fetched += count
        elif budget.take(count):
            hedged += count
        assert hedged <= HEDGED * fetched + 1e-6


def test_a_budget_is_not_saved_up_without_end() -> None:
    budget = HedgeBudget()
    budget.fetched(10**15)
    assert budget.take(CREDIT)
    assert not budget.take(1)


@given(st.integers(1, 10 * MIB), st.integers(1, 50))
def test_a_peer_that_keeps_the_floor_is_not_slow(floor: int, seconds: int) -> None:
    pace = Pace(floor, 5.0, 0.0)
    assert not any(pace.is_slow(floor, float(now)) for now in range(1, seconds + 1))


def test_a_peer_is_slow_after_a_window_and_not_before() -> None:
    pace = Pace(1000, 5.0, 0.0)
    assert [pace.is_slow(999, float(now)) for now in range(1, 11)] == [False] * 4 + [True] + [False] * 4 + [True]


def test_a_pause_before_the_first_byte_counts() -> None:
    assert Pace(1000, 5.0, 0.0).is_slow(5000, 20.0)
