from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.bounded import BoundedDict


def test_the_entry_unused_the_longest_goes_first() -> None:
    held: BoundedDict[str, int] = BoundedDict(entries=2)
    held.put("a", 1)
    held.put("b", 2)
    assert held.get("a") == 1
    held.put("c", 3)
    assert [held.get(key) for key in "abc"] == [1, None, 3]


def test_a_discarded_entry_is_gone_and_may_be_discarded_again() -> None:
    held: BoundedDict[str, int] = BoundedDict(entries=2)
    held.put("a", 1)
    held.discard("a")
    held.discard("a")
    assert held.get("a") is None
    assert len(held) == 0


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["put", "get", "discard"]), st.integers(0, 8))))
def test_it_holds_the_latest_used_and_never_more_than_its_bound(bound: int, steps: list[tuple[str, int]]) -> None:
    held: BoundedDict[int, int] = BoundedDict(entries=bound)
    model: list[int] = []  # latest used last
    for verb, key in steps:
        known = key in model
        if verb == "get":
            assert held.get(key) == (key if known else None)
        elif verb == "put":
            held.put(key, key)
        else:
            held.discard(key)
        if known:
            model.remove(key)
        if verb == "put" or (verb == "get" and known):
            model.append(key)
        model = model[-bound:]
        assert len(held) == len(model) <= bound
        assert held.items() == [(one, one) for one in model]
        assert [one in held for one in range(9)] == [one in model for one in range(9)]
