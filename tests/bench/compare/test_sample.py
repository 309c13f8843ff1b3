"""How far a number can be trusted."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy
import pytest

from bench.compare.sample import FEW_BLOCKS, MAX_BLOCKS, Draws, Sample
from bench.record import Interval, Latencies, Mark, Run
from bench.yardsticks import YARDSTICKS, named, value
from tests.kit.runs import sampled_run


@pytest.fixture(scope="module")
def run() -> Run:
    return sampled_run(seconds=24)


def drawn(sample: Sample, name: str, times: int = 200) -> numpy.ndarray | None:
    return Draws(sample, times, numpy.random.default_rng(7)).of(named(name))


@pytest.mark.parametrize("yardstick", YARDSTICKS, ids=lambda one: one.name)
def test_of_one_run_the_number_is_the_runs_own(run: Run, yardstick: object) -> None:
    assert Sample([run]).found(yardstick) == pytest.approx(value(run, yardstick))  # type: ignore[arg-type]


def test_the_same_run_twice_has_the_same_numbers(run: Run) -> None:
    once, twice = Sample([run]), Sample([run, run])
    for yardstick in YARDSTICKS:
        expected = once.found(yardstick)
        assert twice.found(yardstick) == (expected and pytest.approx(expected, rel=0.02)), yardstick.name


@pytest.mark.parametrize("name", ["throughput", "requests", "ttfb_p50", "ttfb_p99", "rate_p10", "hit_ratio"])
def test_draws_lie_around_the_number(run: Run, name: str) -> None:
    found = drawn(Sample([run]), name)
    assert found is not None
    assert numpy.quantile(found, 0.02) <= value(run, named(name)) <= numpy.quantile(found, 0.98)


def test_the_same_seed_draws_the_same(run: Run) -> None:
    assert (drawn(Sample([run]), "ttfb_p99") == drawn(Sample([run]), "ttfb_p99")).all()  # type: ignore[union-attr]


def test_a_number_a_run_has_but_once_cannot_be_drawn(run: Run) -> None:
    assert drawn(Sample([run]), "memory") is None


def test_several_runs_can(run: Run) -> None:
    other = replace(run, cost=replace(run.cost, peak_resident_bytes=2 * run.cost.peak_resident_bytes))  # type: ignore[union-attr, type-var]
    found = drawn(Sample([run, other]), "memory")
    assert found is not None
    assert len(set(found)) == 3


def test_a_run_too_short_to_draw_from_is_not_drawn_from() -> None:
    assert drawn(Sample([sampled_run(seconds=FEW_BLOCKS - 1)]), "requests") is None


def test_a_run_without_a_second_of_series_is_no_accident(run: Run) -> None:
    empty = Sample([replace(run, series=(), latencies=Latencies())])
    assert empty.found(named("throughput")) is None
    assert drawn(empty, "throughput") is None


def test_a_long_run_has_no_more_blocks_than_allowed(run: Run) -> None:
    series = tuple(replace(run.series[0], second=second) for second in range(5000))
    long = Sample([replace(run, series=series, seconds=5000.0, latencies=Latencies())])
    assert 0 < len(long.blocks) <= MAX_BLOCKS


def test_a_phase_ends_where_something_happened(run: Run) -> None:
    marked = Sample([replace(run, marks=(Mark(3.0, "x"),))])
    assert [len(phase) for phase in marked.phases[0]][:2] == [3, 6]


def with_requests(run: Run, chance: Random) -> Run:
    """The run with a steady load whose seconds scatter by 10 %."""
    series = tuple(replace(run.series[0], second=second, requests=int(chance.gauss(1000, 100))) for second in range(24))
    return replace(run, series=series, latencies=Latencies(intervals=(Interval(0.0, 1.0, ()),)))


def test_intervals_hold_the_truth_about_as_often_as_they_say(run: Run) -> None:
    """95 of 100, with room for chance: 150 runs of which the truth is known."""
    chance, held = Random(11), 0
    for _ in range(150):
        found = drawn(Sample([with_requests(run, chance)]), "requests", 400)
        assert found is not None
        low, high = numpy.quantile(found, [0.025, 0.975])
        held += low <= 1000 <= high
    assert 0.85 * 150 <= held < 150
