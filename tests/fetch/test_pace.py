"""When a peer is too slow, and what that may cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sizes import MIB
from proxy.fetch.pace import CREDIT, HEDGED, HedgeBudget, Pace

EVENTS = st.lists(st.tuples(st.booleans(), st.integers(1, 64 * MIB)), max_size=60)


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
