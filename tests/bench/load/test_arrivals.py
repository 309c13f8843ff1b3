"""Schedules ascend, keep their rate, follow from their seed, and can be divided among processes."""

from __future__ import annotations

from itertools import islice, pairwise, takewhile
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.arrivals import Bursts, Diurnal, Herd, Poisson, Shape, Steady, arrivals, shared

SHAPES: list[Shape] = [
    Poisson(200.0),
    Steady(200.0),
    Bursts(100.0, 5.0, 2.0, 10.0),
    Diurnal(200.0, 0.5, 20.0),
    Herd(300, 2.0),
]


def until(shape: Shape, seconds: float, seed: int = 1) -> list[float]:
    return list(takewhile(lambda at: at < seconds, arrivals(shape, Random(seed))))


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_arrivals_ascend_and_follow_from_the_seed(shape: Shape) -> None:
    found = until(shape, 20.0)
    assert all(before <= after for before, after in pairwise(found))
    assert found == until(shape, 20.0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Poisson(200.0), 4000),
        (Steady(200.0), 4000),
        (Bursts(100.0, 5.0, 2.0, 10.0), 100 * 16 + 500 * 4),
        (Diurnal(200.0, 0.5, 20.0), 4000),
        (Herd(300, 2.0), 300),
    ],
    ids=repr,
)
def test_as_many_come_as_were_asked_for(shape: Shape, expected: int) -> None:
    assert len(until(shape, 20.0)) == pytest.approx(expected, rel=0.1)


def test_bursts_come_at_the_end_of_each_period() -> None:
    found = until(Bursts(50.0, 10.0, 1.0, 10.0), 100.0)
    bursting = [at for at in found if at % 10.0 >= 9.0]
    assert len(bursting) == pytest.approx(10 * 500, rel=0.1)


def test_a_herd_comes_within_its_time() -> None:
    assert max(until(Herd(1000, 1.5), 100.0)) <= 1.5


def test_nobody_comes_at_a_rate_of_nothing() -> None:
    assert list(islice(arrivals(Poisson(0.0), Random(1)), 3)) == []
    assert list(islice(arrivals(Steady(0.0), Random(1)), 3)) == []


@given(st.sampled_from(SHAPES), st.integers(1, 7))
def test_the_parts_together_are_the_whole(shape: Shape, parts: int) -> None:
    divided = [shared(shape, part, parts) for part in range(parts)]
    if isinstance(shape, Herd):
        assert sum(one.count for one in divided if isinstance(one, Herd)) == shape.count
    else:
        assert sum(one.rate for one in divided if not isinstance(one, Herd)) == pytest.approx(shape.rate)


def test_metronomes_of_several_processes_do_not_beat_together() -> None:
    whole = until(Steady(200.0), 2.0)
    parts = [at for part in range(4) for at in until(shared(Steady(200.0), part, 4), 2.0)]
    assert sorted(parts) == pytest.approx(whole)
