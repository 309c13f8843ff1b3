"""Memory stays within its bounds, and the least recently used go first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.catalogue.memory import Recent


def test_the_least_recently_used_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.get("a")
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=40)), max_size=60))
def test_no_sequence_exceeds_the_bounds_or_loses_the_latest(puts: list[tuple[int, bytes]]) -> None:
    recent: Recent[int, bytes] = Recent(5, 100, len)
    for key, value in puts:
        recent.put(key, value)
        assert recent.get(key) == value
        kept = [found for other in range(10) if (found := recent.get(other)) is not None]
        assert len(kept) == len(recent) <= 5
        assert sum(map(len, kept)) <= 100


def test_dropping_gives_the_weight_back() -> None:
    recent: Recent[int, bytes] = Recent(10, 10, len)
    recent.put(1, b"123456")
    recent.drop_where(lambda key: key == 1)
    recent.put(2, b"1234567890")
    assert recent.get(2) == b"1234567890"
