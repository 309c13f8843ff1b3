"""The curves of a run, before anybody draws them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.histograms import Histogram, Measure
from bench.record import Latencies, Moment, Run, Source
from bench.report import plots
from bench.report.steps import MAX_POINTS, Steps, curve, nines
from tests.kit.runs import sampled_run


@pytest.fixture(scope="module")
def run() -> Run:
    return sampled_run(seconds=30)


def moment(second: int, **fields: int) -> Moment:
    numbers = {"requests": 0, "errors": 0, "hits": 0, "in_flight": 0, "origin_bytes": 0} | fields
    return Moment(second=second, bytes={Source.DISK: 100}, **numbers)


def test_a_full_run_has_every_plot(run: Run) -> None:
    names = [plot.name for plot in plots.plots(run)]
    assert names == [
        "throughput",
        "hit-ratio",
        "first-byte",
        "transfer-rate",
        "percentiles",
        "origin",
        "requests",
        "errors",
        "fairness",
        "memory",
    ]


def test_what_would_be_empty_is_left_out(run: Run) -> None:
    quiet = replace(run, series=tuple(moment(n) for n in range(3)), latencies=Latencies(), fairness=(), resources=())
    assert [plot.name for plot in plots.plots(quiet)] == ["throughput", "hit-ratio", "origin"]


def test_every_curve_has_a_value_for_every_x(run: Run) -> None:
    for plot in plots.plots(run):
        assert {len(drawn.values) for drawn in plot.curves} == {len(plot.xs)}, plot.name


def test_the_sources_add_up_to_what_was_delivered(run: Run) -> None:
    found = plots.throughput(run)
    total = sum(value or 0 for drawn in found.curves for value in drawn.values)
    assert total == run.conservation.client_bytes


def test_a_source_that_gave_nothing_is_not_drawn(run: Run) -> None:
    assert "peer" not in [drawn.label for drawn in plots.throughput(run).curves]


def test_a_long_run_is_drawn_in_steps() -> None:
    steps = Steps.of([moment(second, requests=second % 2 * 10) for second in range(10_000)])
    assert len(steps.xs) <= MAX_POINTS
    assert set(steps.mean(lambda one: one.requests)) <= {4.0, 5.0, 40 / 7, 30 / 7, 50 / 9, 40 / 9, 80 / 17, 90 / 17}


def test_a_share_of_nothing_is_not_zero() -> None:
    steps = Steps.of([moment(0), moment(1, requests=4, hits=3)])
    assert steps.share(lambda one: one.hits, lambda one: one.requests) == (None, 0.75)


def test_a_percentile_curve_ends_where_its_values_do() -> None:
    histogram = Histogram(Measure.SERVICE)
    for place in range(1, 101):
        histogram.add(place / 100)
    values = curve(histogram, nines(10_000))
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert known[-1] == pytest.approx(1.0, rel=2e-3)
    assert values[-1] is None


def test_nobody_draws_more_clients_than_a_screen_has_room_for(run: Run) -> None:
    share = run.fairness[0]
    crowd = replace(run, fairness=tuple(replace(share, client=str(n)) for n in range(5000)))
    assert len(plots.shares(crowd).xs) <= MAX_POINTS
