"""S3-FIFO by bytes: who goes first, and who stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.store.eviction import Row, sweep
from proxy.store.layout import Entry


def row(number: int, size: int, frequency: int = 0) -> Row:
    return Row(Entry(BlobKey.sha256(f"{number:064x}"), small=False), size, frequency)


def test_newcomers_never_read_again_go_before_regulars() -> None:
    small, main = [row(1, 60), row(2, 60)], [row(3, 500)]
    plan = sweep(small, main, small_bytes=120, stored=620, wanted=60, at_most=64)
    assert plan.victims == [small[0]]


def test_a_newcomer_read_twice_moves_to_main() -> None:
    small = [row(1, 60, frequency=2), row(2, 60)]
    plan = sweep(small, [row(3, 500)], small_bytes=120, stored=620, wanted=50, at_most=64)
    assert [r.entry for r in plan.to_main] == [small[0].entry]
    assert small[0] not in plan.victims


def test_newcomers_are_spared_while_they_hold_little() -> None:
    main = [row(2, 500)]
    plan = sweep([row(1, 10)], main, small_bytes=10, stored=510, wanted=100, at_most=64)
    assert plan.victims == main


def test_a_regular_that_was_read_goes_round_once_more() -> None:
    main = [row(1, 100, frequency=1), row(2, 100)]
    plan = sweep([], main, small_bytes=0, stored=200, wanted=100, at_most=64)
    assert plan.victims == [main[1]]
    assert plan.to_main == [row(1, 100, frequency=0)]


def test_a_newcomer_that_is_to_stay_goes_with_the_regulars() -> None:
    ours = row(1, 10)
    plan = sweep(
        [ours, row(2, 10)],
        [row(3, 10)],
        small_bytes=900,
        stored=1000,
        wanted=10,
        at_most=64,
        stays=lambda entry: entry == ours.entry,
    )
    assert plan.victims == [row(2, 10)]
    assert plan.to_main == [row(1, 10)]
    regular = sweep([], [ours], small_bytes=0, stored=10, wanted=10, at_most=64, stays=lambda _: True)
    assert regular.victims == [ours], "room has to come from somewhere"


def test_unseen_newcomers_go_before_any_regular() -> None:
    plan = sweep([row(1, 10)], [row(2, 10)], small_bytes=900, stored=1000, wanted=500, at_most=64)
    assert plan.victims == [row(1, 10)]


rows = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3)), max_size=40)


@given(rows, rows, st.integers(1, 2000), st.integers(1, 64))
def test_a_sweep_frees_enough_or_comes_to_an_end(
    small: list[tuple[int, int]], main: list[tuple[int, int]], wanted: int, at_most: int
) -> None:
    newcomers = [row(i, *what) for i, what in enumerate(small)]
    regulars = [row(1000 + i, *what) for i, what in enumerate(main)]
    held, stored = sum(r.size for r in newcomers), sum(r.size for r in newcomers + regulars)
    plan = sweep(newcomers, regulars, small_bytes=held, stored=stored, wanted=wanted, at_most=at_most)
    touched = [r.entry for r in plan.victims + plan.to_main]
    assert len(set(touched)) == len(touched) <= len(newcomers) + len(regulars)
    assert len(plan.victims) <= at_most
    assert plan.freed >= wanted or len(plan.victims) == at_most or len(touched) == len(newcomers) + len(regulars)
    if plan.victims:
        assert plan.freed - plan.victims[-1].size < wanted, "nobody went without need"
