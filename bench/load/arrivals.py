"""When sessions begin: schedules as endless, ascending series of seconds. Pure.

An open loop sends by the clock, whatever the mirror does; so a stall meets as many sessions as it would in life, and
latency counts from the moment a session was meant to begin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals at `rate` a second."""

    rate: float


@dataclass(frozen=True, slots=True)
class Steady:
    """One arrival every 1/`rate` seconds, as a metronome, the first at second `first`."""

    rate: float
    first: float = 0.0


@dataclass(frozen=True, slots=True)
class Bursts:
    """Poisson at `rate`, and for `seconds` of every `period` at `factor` times that."""

    rate: float
    factor: float
    seconds: float
    period: float


@dataclass(frozen=True, slots=True)
class Diurnal:
    """Poisson whose rate swings around `rate` by the share `swing` (0 to 1), one day being `period` seconds."""

    rate: float
    swing: float
    period: float


@dataclass(frozen=True, slots=True)
class Herd:
    """`count` arrivals, all inside the first `within` seconds, and then none."""

    count: int
    within: float


Shape = Poisson | Steady | Bursts | Diurnal | Herd


def arrivals(shape: Shape, random: Random) -> Iterator[float]:
    """Seconds from the begin of the run, ascending. Endless, but for a herd and for a rate of nothing."""
    match shape:
        case Herd(count, within):
            return iter(sorted(random.uniform(0.0, within) for _ in range(count)))
        case Steady(rate, first):
            return _steady(rate, first)
        case Poisson(rate):
            return _thinned(lambda at: rate, rate, random)
        case Bursts(rate, factor):
            return _thinned(
                lambda at: rate * (factor if _bursting(shape, at) else 1.0), rate * max(1.0, factor), random
            )
        case Diurnal(rate, swing, period):
            wave = math.tau / period
            return _thinned(lambda at: rate * (1.0 + swing * math.sin(wave * at)), rate * (1.0 + swing), random)
        case _:
            assert_never(shape)


def shared(shape: Shape, part: int, parts: int) -> Shape:
    """What one of `parts` generator processes does of `shape`; together they do all of it."""
    match shape:
        case Herd(count, within):
            return Herd(count // parts + (1 if part < count % parts else 0), within)
        case Steady(rate, first):
            return Steady(rate / parts, first + (part / rate if rate > 0 else 0.0))
        case Poisson(rate):
            return Poisson(rate / parts)
        case Bursts(rate, factor, seconds, period):
            return Bursts(rate / parts, factor, seconds, period)
        case Diurnal(rate, swing, period):
            return Diurnal(rate / parts, swing, period)
        case _:
            assert_never(shape)


def _bursting(shape: Bursts, at: float) -> bool:
    return at % shape.period >= shape.period - shape.seconds


def _steady(rate: float, first: float) -> Iterator[float]:
    number = 0
    while rate > 0:
        yield first + number / rate
        number += 1


def _thinned(rate_at: Callable[[float], float], highest: float, random: Random) -> Iterator[float]:
    """A Poisson process whose rate changes, by throwing away some of one at the highest rate (Lewis and Shedler)."""
    at = 0.0
    while highest > 0:
        at += random.expovariate(highest)
        if random.random() * highest < rate_at(at):
            yield at
