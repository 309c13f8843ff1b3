"""Both sides in one picture."""

from __future__ import annotations

from dataclasses import replace

from bench.compare.overlay import marks, overlaid
from bench.record import Mark
from tests.kit.runs import sampled_run

SHORT, LONG = sampled_run(1, seconds=8), sampled_run(2, seconds=12)


def test_both_sides_are_in_every_plot() -> None:
    for plot in overlaid([SHORT], [LONG]):
        sides = {curve.label[0] for curve in plot.curves if any(value is not None for value in curve.values)}
        assert sides == {"A", "B"}, plot.name


def test_the_longer_run_goes_on_alone() -> None:
    throughput = overlaid([SHORT], [LONG])[0]
    assert [sum(value is not None for value in curve.values) for curve in throughput.curves] == [8, 12]


def test_several_runs_are_drawn_as_their_mean() -> None:
    doubled = replace(SHORT, series=tuple(replace(one, requests=3 * one.requests) for one in SHORT.series))
    requests = next(plot for plot in overlaid([SHORT, doubled], [SHORT]) if plot.name == "requests")
    mean, alone = (curve.values for curve in requests.curves)
    assert mean == tuple(2 * value for value in alone if value is not None)


def test_what_happened_on_both_sides_is_told_once() -> None:
    one = replace(SHORT, marks=(Mark(1.0, "429"), Mark(2.0, "kill")))
    other = replace(SHORT, marks=(Mark(1.0, "429"), Mark(3.0, "kill")))
    assert marks([one], [other]) == [Mark(1.0, "429"), Mark(2.0, "A: kill"), Mark(3.0, "B: kill")]
