"""The numbers a run is known by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.record import ClientShare, Resources, Run
from bench.yardsticks import GROWTH_FROM, YARDSTICKS, Unknown, fairness, named, value
from tests.kit.runs import sampled_run


@pytest.fixture(scope="module")
def run() -> Run:
    """Long enough that what grows can be told."""
    return replace(sampled_run(seconds=8), seconds=2 * GROWTH_FROM)


def test_every_yardstick_measures_a_full_run(run: Run) -> None:
    assert [one.name for one in YARDSTICKS if value(run, one) is None] == []


def test_percentiles_ascend(run: Run) -> None:
    names = ("ttfb_p50", "ttfb_p90", "ttfb_p99", "ttfb_p999")
    found = [value(run, named(name)) or 0.0 for name in names]
    assert found == sorted(found)
    assert found[0] > 0


def test_throughput_is_what_was_delivered_in_each_second(run: Run) -> None:
    assert value(run, named("throughput")) == run.conservation.client_bytes / run.seconds


def test_what_is_not_known_is_none(run: Run) -> None:
    assert value(replace(run, cost=None), named("memory")) is None
    assert value(replace(run, series=()), named("hit_ratio")) is None


def held(run: Run, *resident: int) -> Run:
    looks = tuple(Resources(float(second), one, 10 * one, one / 1000) for second, one in enumerate(resident))
    return replace(run, resources=looks)


@pytest.mark.parametrize(
    ("resident", "growth"),
    [((1, 90, 100, 100, 100, 100), 0.0), ((1, 1, 100, 100, 110, 110), 0.1), ((5, 5, 5), None), ((), None)],
)
def test_growth_is_the_last_third_against_the_one_before(
    run: Run, resident: tuple[int, ...], growth: float | None
) -> None:
    expected = growth if growth is None else pytest.approx(growth)
    assert value(held(run, *resident), named("memory_growth")) == expected
    assert value(held(run, *resident), named("descriptor_growth")) == expected


def test_a_short_run_does_not_tell_what_grows(run: Run) -> None:
    short = replace(held(run, 1, 1, 1, 1, 9, 9), seconds=GROWTH_FROM - 1)
    assert value(short, named("memory_growth")) is None


def test_lag_grows_by_seconds(run: Run) -> None:
    assert value(held(run, 1, 1, 100, 100, 110, 110), named("lag_growth")) == pytest.approx(0.010)


def shares(run: Run, *rates: int) -> Run:
    return replace(run, fairness=tuple(ClientShare(str(n), rate, 1.0) for n, rate in enumerate(rates)))


@pytest.mark.parametrize(
    ("rates", "index"), [((5, 5, 5), 1.0), ((9, 0, 0), 1 / 3), ((3,), None), ((), None), ((0, 0), None)]
)
def test_fairness_is_jains_index(run: Run, rates: tuple[int, ...], index: float | None) -> None:
    assert fairness(shares(run, *rates)) == (index if index is None else pytest.approx(index))


def test_an_unknown_name_is_told_its_neighbour() -> None:
    with pytest.raises(Unknown, match="did you mean 'hit_ratio'"):
        named("hitratio")
