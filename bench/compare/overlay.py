"""The curves of two samples in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.histograms import Measure, merged
from bench.record import Mark, Moment, Run
from bench.report.plot import Across, Curve, Plot, Values
from bench.report.steps import Steps, curve, nines, stepwise
from bench.words import Unit
from bench.yardsticks import delivered

Runs = Sequence[Run]
Drawn = tuple[tuple[float, ...], Values]
"""A curve's x and y."""

_SIDES = (("A", "one", ()), ("B", "three", (10, 5)))
"""B is drawn over A; where they are alike, A must show through."""
_DOTS = (2, 4)


def overlaid(before: Runs, after: Runs) -> list[Plot]:
    """What both have, over time and by percentile; several runs of a side as their mean."""
    drawn = [
        _series(before, after, "throughput", "Throughput", Unit.BYTES_PER_SECOND, _mean(delivered)),
        _latency(before, after),
        _over_time(before, after, Measure.FIRST_BYTE, "Time to first byte", (50.0, 99.0)),
        _over_time(before, after, Measure.RATE, "Transfer rate of a body", (50.0, 10.0)),
        _series(before, after, "hit-ratio", "Hit ratio", Unit.SHARE, _hits),
        _series(before, after, "origin", "From the origin", Unit.BYTES_PER_SECOND, _mean(lambda one: one.origin_bytes)),
        _series(before, after, "requests", "Requests per second", Unit.COUNT, _mean(lambda one: one.requests)),
        _series(before, after, "errors", "Failed requests per second", Unit.COUNT, _mean(lambda one: one.errors)),
    ]
    return [plot for plot in drawn if not plot.is_empty]


def marks(before: Runs, after: Runs) -> list[Mark]:
    """What happened on either side; what happened on both at the same second is told once."""
    first = {(mark.second, mark.name) for run in before for mark in run.marks}
    second = {(mark.second, mark.name) for run in after for mark in run.marks}
    told = [Mark(when, name) for when, name in first & second]
    told += [Mark(when, f"A: {name}") for when, name in first - second]
    told += [Mark(when, f"B: {name}") for when, name in second - first]
    return sorted(told, key=lambda mark: (mark.second, mark.name))


def _mean(amount: Callable[[Moment], int]) -> Callable[[Runs], Drawn]:
    def drawn(runs: Runs) -> Drawn:
        steps = Steps.of([moment for run in runs for moment in run.series])
        return steps.xs, steps.mean(amount)

    return drawn


def _hits(runs: Runs) -> Drawn:
    steps = Steps.of([moment for run in runs for moment in run.series])
    return steps.xs, steps.share(lambda moment: moment.hits, lambda moment: moment.requests)


def _series(before: Runs, after: Runs, name: str, title: str, unit: Unit, draw: Callable[[Runs], Drawn]) -> Plot:
    drawn = [draw(before), draw(after)]
    xs = _union(drawn)
    curves = tuple(
        Curve(side, colour, _spread(one, xs), dash) for (side, colour, dash), one in zip(_SIDES, drawn, strict=True)
    )
    top = 1.0 if unit is Unit.SHARE else None
    return Plot(name, title, "Both runs, second by second.", unit, Across.TIME, xs, curves, top=top)


def _over_time(before: Runs, after: Runs, measure: Measure, title: str, percents: tuple[float, float]) -> Plot:
    sides = []
    for runs in (before, after):
        intervals = [interval for run in runs for interval in run.latencies.intervals]
        sides.append(stepwise(intervals, measure, max(run.seconds for run in runs)))
    drawn, curves = [], []
    for place, percent in enumerate(percents):
        for (side, colour, dash), steps in zip(_SIDES, sides, strict=True):
            values = tuple(histogram.at([percent])[0] if len(histogram) else None for _, histogram in steps)
            drawn.append((tuple(begin for begin, _ in steps), values))
            curves.append((f"{side}, p{percent:g}", colour, _DOTS if place else dash))
    xs = _union(drawn)
    return Plot(
        measure.value.replace("_", "-"),
        title,
        f"The p{percents[0]:g} as lines, the p{percents[1]:g} as dots.",
        Unit.BYTES_PER_SECOND if measure.is_rate else Unit.SECONDS,
        Across.TIME,
        xs,
        tuple(
            Curve(label, colour, _spread(one, xs), dash)
            for (label, colour, dash), one in zip(curves, drawn, strict=True)
        ),
        log=True,
    )


def _latency(before: Runs, after: Runs) -> Plot:
    both = [
        merged(Measure.FIRST_BYTE, (run.latencies.of(Measure.FIRST_BYTE) for run in runs)) for runs in (before, after)
    ]
    xs = nines(max(map(len, both)))
    curves = tuple(
        Curve(side, colour, curve(histogram, xs), dash)
        for (side, colour, dash), histogram in zip(_SIDES, both, strict=True)
    )
    said = "Time to first byte, from when it was due; lower is better."
    return Plot("percentiles", "First byte by percentile", said, Unit.SECONDS, Across.PERCENTILE, xs, curves, log=True)


def _union(drawn: Sequence[Drawn]) -> tuple[float, ...]:
    return tuple(sorted({x for xs, _ in drawn for x in xs}))


def _spread(one: Drawn, xs: Sequence[float]) -> Values:
    """Its values at `xs`, None where it has none."""
    known = dict(zip(*one, strict=True))
    return tuple(known.get(x) for x in xs)
