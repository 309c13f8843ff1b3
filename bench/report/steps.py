"""A run cut into steps, so that no curve has more points than a screen can show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.histograms import Histogram, Measure, merged
from bench.record import Interval, Moment

from .plot import Values

MAX_POINTS = 600
_POINTS_PER_NINE = 24


@dataclass(frozen=True, slots=True)
class Steps:
    """The seconds of a run in steps, so that no curve has more than MAX_POINTS points."""

    groups: tuple[tuple[Moment, ...], ...]

    @classmethod
    def of(cls, series: Sequence[Moment]) -> Steps:
        width = step_width(max((moment.second for moment in series), default=0) + 1)
        ordered = sorted(series, key=lambda moment: moment.second)
        return cls(tuple(tuple(group) for _, group in groupby(ordered, lambda moment: moment.second // width)))

    @property
    def xs(self) -> tuple[float, ...]:
        return tuple(float(group[0].second) for group in self.groups)

    def mean(self, amount: Callable[[Moment], int]) -> Values:
        return tuple(sum(map(amount, group)) / len(group) for group in self.groups)

    def share(self, part: Callable[[Moment], int], whole: Callable[[Moment], int]) -> Values:
        """None where there is nothing to have a share of."""
        wholes = [sum(map(whole, group)) for group in self.groups]
        parts = [sum(map(part, group)) for group in self.groups]
        return tuple(one / all_ if all_ else None for one, all_ in zip(parts, wholes, strict=True))


def step_width(seconds: int) -> int:
    """Seconds in a step."""
    return max(math.ceil(seconds / MAX_POINTS), 1)


def stepwise(intervals: Sequence[Interval], measure: Measure, seconds: float) -> list[tuple[float, Histogram]]:
    """The distribution of `measure` in each step of the run, all kinds of request together."""
    width = step_width(math.ceil(seconds))
    ordered = sorted(intervals, key=lambda interval: interval.begin)
    grouped = [list(group) for _, group in groupby(ordered, lambda interval: interval.begin // width)]
    return [
        (
            group[0].begin,
            merged(measure, (one.histogram() for it in group for one in it.distributions if one.measure is measure)),
        )
        for group in grouped
    ]


def nines(count: int) -> tuple[float, ...]:
    """The x of a percentile curve of `count` values: as far as there are values to tell apart, and the greatest."""
    last = math.ceil(math.log10(2 * max(count, 5)) * _POINTS_PER_NINE)
    return tuple(place / _POINTS_PER_NINE for place in range(last + 1))


def curve(histogram: Histogram, xs: Sequence[float]) -> Values:
    """The values at `xs`, None beyond what `histogram` has values for."""
    reach = math.log10(2 * max(len(histogram), 1)) + 1 / _POINTS_PER_NINE
    inside = [x for x in xs if x <= reach]
    if not len(histogram):
        return (None,) * len(xs)
    found = histogram.at([100 * (1 - 10**-x) for x in inside])
    return (*found, *(None,) * (len(xs) - len(inside)))
