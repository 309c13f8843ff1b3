"""How far a number of a run can be trusted: block bootstrap.

Seconds of a load test are not independent of their neighbours, requests within a second even less. So not requests are
drawn again but blocks of seconds, and where there are several runs, runs first: B. Efron, R. Tibshirani, An
Introduction to the Bootstrap (1993), §8.6; H. Künsch, The Jackknife and the Bootstrap for General Stationary
Observations (1989).
A run goes through phases (warming up, a fault), and the next run of the same scenario goes through the same: so blocks
are drawn phase by phase, each among its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy
from numpy.typing import NDArray

from bench.histograms import Histogram, Measure, merged
from bench.record import Moment, Run
from bench.yardsticks import Percentile, PerSecond, Share, Whole, Yardstick, value

MAX_BLOCKS = 120
"""Of a run."""
FEW_BLOCKS = 6
"""With fewer there is nothing to draw from."""
PHASE = 6
"""Blocks that are taken for neighbours."""

Floats = NDArray[numpy.float64]


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring seconds of one run."""

    moments: tuple[Moment, ...]
    histograms: dict[Measure, Histogram]


class Sample:
    """One run or several of the same, and what is known of each number. Raises Unreadable for a damaged run."""

    def __init__(self, runs: Sequence[Run]) -> None:
        assert runs, "a sample has at least one run"
        self.runs = tuple(runs)
        self.phases = [_phases(run) for run in self.runs]
        self._tables: dict[Measure, tuple[Floats, Floats]] = {}

    @property
    def blocks(self) -> list[Block]:
        """Of all runs, in the order of `Draws.weights`."""
        return [block for phases in self.phases for phase in phases for block in phase]

    def found(self, yardstick: Yardstick) -> float | None:
        """The number itself: of all runs together, or the mean of theirs where it is of a run as a whole."""
        way = yardstick.way
        match way:
            case Percentile():
                together = merged(way.measure, (run.latencies.of(way.measure) for run in self.runs))
                return together.at([way.percent])[0] if len(together) else None
            case PerSecond() | Share():
                parts, wholes = self.sums(way)
                return float(parts.sum() / wholes.sum()) if wholes.sum() else None
            case Whole():
                known = [one for one in (value(run, yardstick) for run in self.runs) if one is not None]
                return sum(known) / len(known) if known else None
            case _:
                assert_never(way)

    def sums(self, way: PerSecond | Share) -> tuple[Floats, Floats]:
        """What is divided by what, block by block."""
        if isinstance(way, PerSecond):
            told = sum(len(run.series) for run in self.runs)
            # Of a run that ended within a second, the last moment is shorter.
            second = sum(run.seconds for run in self.runs) / told if told else 1.0
            parts = [sum(map(way.amount, block.moments)) for block in self.blocks]
            wholes = [len(block.moments) * second for block in self.blocks]
        else:
            parts = [sum(map(way.part, block.moments)) for block in self.blocks]
            wholes = [float(sum(map(way.whole, block.moments))) for block in self.blocks]
        return numpy.asarray(parts, numpy.float64), numpy.asarray(wholes, numpy.float64)

    def table(self, measure: Measure) -> tuple[Floats, Floats]:
        """All values that occur, ascending, and how often each occurs in each block."""
        if measure not in self._tables:
            self._tables[measure] = _table([block.histograms.get(measure) for block in self.blocks])
        return self._tables[measure]


class Draws:
    """A sample drawn from again and again: runs first, then the blocks of each phase of a run."""

    def __init__(self, sample: Sample, times: int, chance: numpy.random.Generator) -> None:
        self._sample = sample
        count = len(sample.runs)
        once = numpy.ones((times, 1), numpy.int64)
        self._runs = chance.multinomial(count, [1 / count] * count, size=times) if count > 1 else once
        weights = [
            _weights(self._runs[:, place], len(phase), chance)
            for place, phases in enumerate(sample.phases)
            for phase in phases
        ]
        self._weights: Floats = numpy.concatenate(weights, axis=1) if weights else numpy.zeros((times, 0))

    def of(self, yardstick: Yardstick) -> Floats | None:
        """The number as it comes out of each draw (NaN where it is not known); None where drawing says nothing."""
        way = yardstick.way
        several = len(self._sample.runs) > 1
        if not several and len(self._sample.blocks) < FEW_BLOCKS:
            return None
        match way:
            case Percentile():
                return self._percentiles(way)
            case PerSecond() | Share():
                parts, wholes = self._sample.sums(way)
                return _divided(self._weights @ parts, self._weights @ wholes)
            case Whole():
                return self._of_runs(yardstick) if several else None
            case _:
                assert_never(way)

    def _percentiles(self, way: Percentile) -> Floats | None:
        values, counts = self._sample.table(way.measure)
        if not len(values):
            return None
        sums = numpy.cumsum(self._weights @ counts, axis=1)
        # The same rank as the histogram's own percentile, so that a draw of everything gives the number itself.
        ranks = numpy.maximum(numpy.floor(sums[:, -1] * way.percent / 100 + 0.5), 1)
        places = (sums < ranks[:, None]).sum(axis=1)
        drawn: Floats = numpy.where(sums[:, -1] > 0, values[numpy.minimum(places, len(values) - 1)], numpy.nan)
        return drawn

    def _of_runs(self, yardstick: Yardstick) -> Floats:
        found = [value(run, yardstick) for run in self._sample.runs]
        known = numpy.asarray([one is not None for one in found], numpy.float64)
        numbers = numpy.asarray([one or 0.0 for one in found], numpy.float64)
        return _divided(self._runs @ (numbers * known), self._runs @ known)


def _weights(runs: NDArray[numpy.int64], blocks: int, chance: numpy.random.Generator) -> Floats:
    """How often each block of a phase is in each draw, when its run is in it `runs` times.

    One block fewer is drawn than there are, and each counts a little more: so the spread of few blocks is not told too
    small. J. Rao, C. Wu: Resampling Inference with Complex Survey Data (1988).
    """
    if blocks == 1:
        return runs[:, None].astype(numpy.float64)
    drawn = chance.multinomial(runs * (blocks - 1), [1 / blocks] * blocks)
    return drawn.astype(numpy.float64) * (blocks / (blocks - 1))


def _divided(parts: Floats, wholes: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    divided: Floats = numpy.divide(parts, wholes, out=numpy.full(len(parts), numpy.nan), where=wholes > 0)
    return divided


def _phases(run: Run) -> list[list[Block]]:
    """The blocks of a run, cut where something happened to it, and otherwise after PHASE of them."""
    width = max(math.ceil(run.seconds / MAX_BLOCKS), 1)
    cuts = {int(mark.second // width) for mark in run.marks}
    phases: list[list[Block]] = []
    for place, block in _blocks(run, width):
        if not phases or place in cuts or len(phases[-1]) == PHASE:
            phases.append([])
        phases[-1].append(block)
    return phases


def _blocks(run: Run, width: int) -> list[tuple[int, Block]]:
    moments: dict[int, list[Moment]] = {}
    for moment in run.series:
        moments.setdefault(moment.second // width, []).append(moment)
    histograms: dict[int, dict[Measure, list[Histogram]]] = {}
    for interval in run.latencies.intervals:
        kept = histograms.setdefault(int(interval.begin // width), {})
        for one in interval.distributions:
            kept.setdefault(one.measure, []).append(one.histogram())
    return [
        (
            place,
            Block(
                tuple(moments.get(place, ())),
                {measure: merged(measure, parts) for measure, parts in histograms.get(place, {}).items()},
            ),
        )
        for place in sorted(moments.keys() | histograms.keys())
    ]


def _table(histograms: Sequence[Histogram | None]) -> tuple[Floats, Floats]:
    """All values that occur, ascending, and how often each occurs in each of the histograms."""
    steps = [dict(histogram.steps()) if histogram is not None else {} for histogram in histograms]
    values = sorted({value for one in steps for value in one})
    places = {value: place for place, value in enumerate(values)}
    counts = numpy.zeros((len(steps), len(values)))
    for row, one in enumerate(steps):
        for value_, count in one.items():
            counts[row, places[value_]] = count
    return numpy.asarray(values, numpy.float64), counts
