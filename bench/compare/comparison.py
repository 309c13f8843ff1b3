"""What changed between two samples, and whether somebody should be told."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy

from bench import verdict
from bench.conditions import Condition
from bench.record import Run
from bench.words import Unit, signed_percent, told
from bench.yardsticks import YARDSTICKS, Better, Yardstick

from .sample import Draws, Floats, Sample

DRAWS = 1000
SURE = 0.95
"""The part of all draws that an interval holds, and that must meet a condition for it to be sure."""


class Judgement(Enum):
    """What can be said of a change."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference seen"
    """The interval of the change holds zero."""
    UNKNOWN = "cannot be said"
    """There is no interval: too short a run, or a number that a run has but once."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the middle 95 % of the draws lie."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One yardstick of both samples. Changes are parts of what A has; of a share, the difference (in points)."""

    yardstick: Yardstick
    before: float | None
    after: float | None
    change: float | None
    interval: Interval | None
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a condition."""

    condition: Condition
    holds: bool
    said: str


class Comparison:
    """Sample B against sample A. Chance is seeded: the same runs give the same intervals."""

    def __init__(self, before: Sample, after: Sample, *, seed: int, draws: int = DRAWS) -> None:
        self.before, self.after = before, after
        chance = numpy.random.default_rng(seed)
        self._before, self._after = Draws(before, draws, chance), Draws(after, draws, chance)

    def rows(self) -> list[Row]:
        """Every yardstick that at least one of the samples has."""
        found = [self.row(yardstick) for yardstick in YARDSTICKS]
        return [one for one in found if (one.before, one.after) != (None, None)]

    def row(self, yardstick: Yardstick) -> Row:
        old, new = self.before.found(yardstick), self.after.found(yardstick)
        change = _change(yardstick, old, new)
        drawn = self._drawn(yardstick)
        interval = None if drawn is None or change is None else _interval(_changes(yardstick, *drawn))
        return Row(yardstick, old, new, change, interval, _judged(yardstick, interval))

    def ruled(self, condition: Condition, *, sure: bool) -> Ruling:
        """Whether `condition` holds of B; if it must be `sure`, in 95 of 100 draws.

        What cannot be judged holds: a gate that nobody can see through stays shut.
        """
        stick = condition.yardstick
        old, new = self.before.found(stick), self.after.found(stick)
        limit = condition.limit(old)
        if new is None or limit is None:
            return Ruling(condition, True, f"{condition.text}: cannot be judged, {stick.title} is not known")
        holds = condition.holds(new, old)
        against = f"{told(new, stick.unit)} against a limit of {told(limit, stick.unit)}"
        if not (holds and sure):
            return Ruling(condition, holds, f"{condition.text}: {'holds' if holds else 'does not hold'}, {against}")
        drawn = self._drawn(stick)
        if drawn is None:
            return Ruling(condition, True, f"{condition.text}: holds, {against}; how surely cannot be said")
        pairs = list(zip(*drawn, strict=True))
        part = sum(condition.holds(float(later), float(earlier)) for earlier, later in pairs) / len(pairs)
        return Ruling(condition, part >= SURE, f"{condition.text}: {against}, in {part:.0%} of the draws")

    def _drawn(self, yardstick: Yardstick) -> tuple[Floats, Floats] | None:
        old, new = self._before.of(yardstick), self._after.of(yardstick)
        return None if old is None or new is None else (old, new)


_SAME_PLACES: dict[str, Callable[[Run], Hashable]] = {
    "processor": lambda run: (run.environment.cpu, run.environment.cores),
    "kernel": lambda run: run.environment.kernel,
    "scenario": lambda run: run.scenario.name,
    "verification": lambda run: run.verification.mode,
}


def cautions(before: Sequence[Run], after: Sequence[Run]) -> list[str]:
    """Why the comparison may mislead."""
    said = []
    for side, runs in (("A", before), ("B", after)):
        for run in runs:
            worst = [one for one in verdict.findings(run) if one.weight is not verdict.Weight.GOOD]
            said += [f"{side}: {one.text}" for one in worst]
    for what, of in _SAME_PLACES.items():
        if len({of(run) for run in (*before, *after)}) > 1:
            said.append(f"the {what} is not the same in all runs")
    return list(dict.fromkeys(said))


def change_told(one: Row) -> str:
    """`+12.0 %`, or for a share `+1.2 pp`, points of percent."""
    if one.change is None:
        return "–"
    return _signed(one.yardstick, one.change)


def interval_told(one: Row) -> str:
    """`+9.1 … +15.0 %`."""
    if one.interval is None:
        return "–"
    low, high = (_signed(one.yardstick, end) for end in (one.interval.low, one.interval.high))
    return f"{low.partition(' ')[0]} … {high}"


def _signed(yardstick: Yardstick, change: float) -> str:
    text = signed_percent(change)
    return text.replace(" %", " pp") if yardstick.unit is Unit.SHARE else text


def _change(yardstick: Yardstick, before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    if yardstick.unit is Unit.SHARE:
        return after - before
    if before == 0:
        return 0.0 if after == 0 else None
    return after / before - 1


def _changes(yardstick: Yardstick, before: Floats, after: Floats) -> Floats:
    if yardstick.unit is Unit.SHARE:
        return after - before
    with numpy.errstate(divide="ignore", invalid="ignore"):
        return after / before - 1


def _interval(changes: Floats) -> Interval | None:
    known = changes[numpy.isfinite(changes)]
    if len(known) < len(changes) / 2:
        return None
    low, high = numpy.quantile(known, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Interval(float(low), float(high))


def _judged(yardstick: Yardstick, interval: Interval | None) -> Judgement:
    if interval is None:
        return Judgement.UNKNOWN
    if interval.low <= 0 <= interval.high:
        return Judgement.SAME
    grew = interval.low > 0
    return Judgement.BETTER if grew is (yardstick.better is Better.MORE) else Judgement.WORSE
