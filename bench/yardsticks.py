"""The numbers that a run is known by, by name: `ttfb_p99`, `hit_ratio`, …

Reports print them, conditions (`--fail-if`, `--slo`) name them, comparisons resample them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from statistics import median
from typing import assert_never

from .histograms import Histogram, Measure
from .record import Moment, Resources, Run, Source
from .words import Unit


class Better(Enum):
    """Which way is an improvement."""

    LESS = "less"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Percentile:
    """The value that `percent` of all requests do not exceed."""

    measure: Measure
    percent: float


@dataclass(frozen=True, slots=True)
class PerSecond:
    """The mean over the run of what is counted second by second."""

    amount: Callable[[Moment], int]


@dataclass(frozen=True, slots=True)
class Share:
    """One count divided by another, each over the whole run."""

    part: Callable[[Moment], int]
    whole: Callable[[Moment], int]


@dataclass(frozen=True, slots=True)
class Whole:
    """Known of the run as a whole only; None when it means nothing for this run."""

    of: Callable[[Run], float | None]


Way = Percentile | PerSecond | Share | Whole


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A named number of a run."""

    name: str
    title: str
    unit: Unit
    better: Better
    way: Way


class Unknown(ValueError):
    """No yardstick has this name; the text says which come near."""


def delivered(moment: Moment) -> int:
    """Bytes that the mirror gave to its clients."""
    return sum(moment.bytes.values())


def kept_bytes(moment: Moment) -> int:
    """Delivered bytes that were here before they were asked for."""
    return moment.bytes.get(Source.DISK, 0) + moment.bytes.get(Source.MEMORY, 0)


def fairness(run: Run) -> float | None:
    """Jain's index of what the clients got per second: 1 when all got the same, 1/n when one got everything.

    R. Jain, D. Chiu, W. Hawe: A Quantitative Measure of Fairness (1984). None for fewer than two clients.
    """
    rates = [share.bytes / share.seconds for share in run.fairness if share.seconds]
    squares = sum(rate * rate for rate in rates)
    if len(rates) < 2 or not squares:
        return None
    return sum(rates) ** 2 / (len(rates) * squares)


def late_share(run: Run) -> float | None:
    generator = run.generator
    return (generator.late + generator.dropped) / generator.planned if generator.planned else None


def _bytes_per_cpu_second(run: Run) -> float | None:
    if run.cost is None or not run.cost.cpu_seconds:
        return None
    return run.conservation.client_bytes / run.cost.cpu_seconds


def _requests_per_cpu_second(run: Run) -> float | None:
    if run.cost is None or not run.cost.cpu_seconds:
        return None
    return sum(moment.requests for moment in run.series) / run.cost.cpu_seconds


GROWTH_FROM = 300.0
"""Seconds of a run from which on growth is told from coming to rest."""


def _growth(run: Run, amount: Callable[[Resources], float | None]) -> tuple[float, float] | None:
    """The medians of the second third of a run and of the last; None for a run that is too short to tell."""
    if run.seconds < GROWTH_FROM:
        return None
    looks = [found for one in run.resources if (found := amount(one)) is not None]
    third = len(looks) // 3
    if third < 2:
        return None
    return median(looks[third : 2 * third]), median(looks[2 * third :])


def _part_grown(amount: Callable[[Resources], float | None]) -> Whole:
    def of(run: Run) -> float | None:
        found = _growth(run, amount)
        return None if found is None or not found[0] else found[1] / found[0] - 1

    return Whole(of)


def _lag_grown(run: Run) -> float | None:
    found = _growth(run, lambda one: one.lag_seconds)
    return None if found is None else found[1] - found[0]


def _of_requests(count: Callable[[Moment], int]) -> Share:
    return Share(count, lambda moment: moment.requests)


_PERCENTS = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9))


def _times(prefix: str, title: str, measure: Measure) -> list[Yardstick]:
    return [
        Yardstick(f"{prefix}_{name}", f"{title}, p{percent:g}", Unit.SECONDS, Better.LESS, Percentile(measure, percent))
        for name, percent in _PERCENTS
    ]


def _rates() -> list[Yardstick]:
    return [
        Yardstick(
            f"rate_p{percent}",
            f"transfer rate, p{percent}",
            Unit.BYTES_PER_SECOND,
            Better.MORE,
            Percentile(Measure.RATE, float(percent)),
        )
        for percent in (1, 10, 50)
    ]


YARDSTICKS = (
    Yardstick("throughput", "throughput", Unit.BYTES_PER_SECOND, Better.MORE, PerSecond(delivered)),
    Yardstick("requests", "requests", Unit.PER_SECOND, Better.MORE, PerSecond(lambda moment: moment.requests)),
    *_times("ttfb", "first byte", Measure.FIRST_BYTE),
    *_times("service", "service time", Measure.SERVICE),
    *_rates(),
    Yardstick("hit_ratio", "hit ratio", Unit.SHARE, Better.MORE, _of_requests(lambda moment: moment.hits)),
    Yardstick("byte_hit_ratio", "hit ratio of bytes", Unit.SHARE, Better.MORE, Share(kept_bytes, delivered)),
    Yardstick(
        "amplification",
        "origin amplification",
        Unit.TIMES,
        Better.LESS,
        Whole(lambda run: run.conservation.amplification),
    ),
    Yardstick("errors", "failed requests", Unit.SHARE, Better.LESS, _of_requests(lambda moment: moment.errors)),
    Yardstick("late", "late or dropped arrivals", Unit.SHARE, Better.LESS, Whole(late_share)),
    Yardstick("fairness", "fairness (Jain)", Unit.SHARE, Better.MORE, Whole(fairness)),
    Yardstick("cost", "delivered per CPU-second", Unit.BYTES_PER_CPU_SECOND, Better.MORE, Whole(_bytes_per_cpu_second)),
    Yardstick("request_cost", "requests per CPU-second", Unit.PER_SECOND, Better.MORE, Whole(_requests_per_cpu_second)),
    Yardstick(
        "memory",
        "greatest resident memory",
        Unit.BYTES,
        Better.LESS,
        Whole(lambda run: None if run.cost is None else float(run.cost.peak_resident_bytes)),
    ),
    Yardstick(
        "memory_growth",
        "growth of resident memory",
        Unit.SHARE,
        Better.LESS,
        _part_grown(lambda one: one.resident_bytes),
    ),
    Yardstick(
        "descriptor_growth",
        "growth of open files and sockets",
        Unit.SHARE,
        Better.LESS,
        _part_grown(lambda one: one.descriptors),
    ),
    Yardstick("lag_growth", "growth of the event loops' lag", Unit.SECONDS, Better.LESS, Whole(_lag_grown)),
    Yardstick("wrong", "wrong bytes", Unit.COUNT, Better.LESS, Whole(lambda run: float(run.verification.wrong))),
)
BY_NAME = {yardstick.name: yardstick for yardstick in YARDSTICKS}


def named(name: str) -> Yardstick:
    """The yardstick `name`. Raises Unknown."""
    found = BY_NAME.get(name)
    if found is None:
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(BY_NAME)
        raise Unknown(f"there is no yardstick {name!r}; {hint}")
    return found


def value(run: Run, yardstick: Yardstick) -> float | None:
    """What `run` has to show; None when it has nothing of the kind. Raises Unreadable for a damaged distribution."""
    way = yardstick.way
    match way:
        case Percentile():
            return percentile(run.latencies.of(way.measure), way.percent)
        case PerSecond():
            return sum(map(way.amount, run.series)) / run.seconds
        case Share():
            whole = sum(map(way.whole, run.series))
            return sum(map(way.part, run.series)) / whole if whole else None
        case Whole():
            return way.of(run)
        case _:
            assert_never(way)


def percentile(histogram: Histogram, percent: float) -> float | None:
    return histogram.at([percent])[0] if len(histogram) else None
