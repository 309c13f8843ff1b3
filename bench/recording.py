"""The record of a run, from what happened in it. Pure, but for the machine's description."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from .conditions import parsed
from .conduct import Outcome
from .conservation import conservation
from .environment import environment
from .histograms import Histogram, Measure
from .load.generator import LATE
from .load.tally import Measures, Second, Totals
from .meter import Reading
from .record import (
    MAX_CLIENTS,
    Check,
    ClientShare,
    Cost,
    Distribution,
    ErrorClass,
    Generator,
    Interval,
    Latencies,
    Moment,
    Promise,
    Resources,
    Run,
    Scenario,
    Verification,
)
from .scenario import Scenario as Wanted
from .words import told
from .yardsticks import value

MOST_INTERVALS: Final = 120
"""Intervals of the latencies in a record, however long the run is."""
BUSY: Final = 0.9
"""Share of a core from which a generator process counts as the bottleneck."""
LAGGING: Final = 0.1
"""Seconds of lag of its loop, likewise."""
LATE_SHARE: Final = 0.01
"""Of all sessions, likewise."""
FEW_LATE: Final = 5
"""So few late sessions tell nothing, whatever their share."""
_MEASURES: Final = tuple(Measure)


def recorded(name: str, wanted: Wanted, outcome: Outcome, target: str | None = None) -> Run:
    """The whole record. The promises of the scenario are judged in it."""
    totals = added(outcome.totals)
    run = Run(
        scenario=Scenario(name, wanted.load.loop, wanted.seed, wanted.model_dump(mode="json")),
        environment=environment(outcome.pinning),
        begin=outcome.begin,
        seconds=outcome.seconds,
        series=_series(outcome),
        latencies=_latencies(outcome.seconds_by_process),
        generator=generator(outcome.totals),
        conservation=conservation(totals, outcome.final, is_mirror_known=outcome.is_mirror_known),
        verification=Verification(Check(wanted.verify.check), totals.checked, totals.files_checked, totals.wrong),
        marks=tuple(outcome.marks),
        errors=tuple(
            ErrorClass(name, failures.count, failures.example, name in wanted.tolerated)
            for name, failures in sorted(totals.failures.items())
        ),
        fairness=tuple(ClientShare(one.client, one.received, one.seconds) for one in totals.shares[:MAX_CLIENTS]),
        cost=None if outcome.cpu_seconds is None else Cost(outcome.cpu_seconds, outcome.resident_bytes or 0),
        resources=tuple(_resources(outcome)),
        target=target,
    )
    return replace(run, promises=tuple(_judged(text, run) for text in wanted.promises))


def added(parts: Iterable[Totals]) -> Totals:
    whole = Totals()
    for part in parts:
        whole.merge(part)
    return whole


def _resources(outcome: Outcome) -> Iterator[Resources]:
    """What the mirror held, with the lag of its loops in the time before each look."""
    samples, begin = outcome.samples, 0
    for held in outcome.held:
        end = min(int(held.second), len(samples) - 1)
        lag = None
        if 0 <= begin < end:
            grown = samples[end].mirror.since(samples[begin].mirror)
            lag = grown.lag / grown.turns if grown.turns else None
        yield Resources(held.second, held.resident_bytes, held.descriptors, lag)
        begin = end


def _judged(text: str, run: Run) -> Promise:
    condition = parsed(text)
    found = value(run, condition.yardstick)
    return Promise(text, condition.holds(found), told(found, condition.yardstick.unit))


def _series(outcome: Outcome) -> tuple[Moment, ...]:
    merged: dict[int, Second] = {}
    for second in outcome.seconds_by_process:
        if second.number in merged:
            merged[second.number].merge(second)
        else:
            merged[second.number] = Second(second.number)
            merged[second.number].merge(second)
    samples = [*outcome.samples, outcome.final]
    last = max([*merged, len(samples) - 2, 0])
    return tuple(_moment(merged.get(number, Second(number)), samples, number) for number in range(last + 1))


def _moment(second: Second, samples: list[Reading], number: int) -> Moment:
    before, after = (samples[min(one, len(samples) - 1)] for one in (number, number + 1))
    delivered = {
        source: max(0, count - before.mirror.delivered.get(source, 0))
        for source, count in after.mirror.delivered.items()
    }
    return Moment(
        second=number,
        bytes=delivered,
        requests=second.requests,
        errors=second.errors,
        hits=second.hits,
        in_flight=second.in_flight,
        origin_bytes=max(0, after.origin.sent - before.origin.sent),
        origin_requests=max(0, after.origin.requests - before.origin.requests),
    )


def _latencies(seconds: list[Second]) -> Latencies:
    span = -(-(max((one.number for one in seconds), default=0) + 1) // MOST_INTERVALS)
    by_interval: dict[int, list[Second]] = defaultdict(list)
    for one in seconds:
        by_interval[one.number // span].append(one)
    intervals = tuple(
        Interval(float(number * span), float(span), _distributions(members))
        for number, members in sorted(by_interval.items())
        if any(one.measures for one in members)
    )
    return Latencies(_distributions(seconds), intervals)


def _distributions(seconds: Iterable[Second]) -> tuple[Distribution, ...]:
    histograms: dict[str, tuple[Histogram, ...]] = {}
    for second in seconds:
        for kind, measures in second.measures.items():
            if kind not in histograms:
                histograms[kind] = tuple(Histogram(measure) for measure in _MEASURES)
            _add(histograms[kind], measures)
    return tuple(Distribution.of(kind, one) for kind, three in sorted(histograms.items()) for one in three if len(one))


def _add(histograms: tuple[Histogram, ...], measures: Measures) -> None:
    for histogram, amounts in zip(histograms, measures, strict=True):
        for amount in amounts:
            histogram.add(amount)


def generator(parts: list[Totals]) -> Generator:
    """How the processes of the load did, together; whether one of them was the bottleneck."""
    whole = added(parts)
    share = max((part.cpu_seconds / part.seconds for part in parts), default=0.0)
    return Generator(
        processes=len(parts),
        planned=whole.planned,
        sent=whole.sent,
        late=whole.late,
        dropped=whole.dropped,
        cpu_share=share,
        lag_seconds=whole.lag,
        saturated=_saturated(share, whole),
        returned=whole.returned,
    )


def _saturated(share: float, whole: Totals) -> str | None:
    """Why the generator was the bottleneck, in words; None if it was not."""
    if share > BUSY:
        return f"a generator process was busy {share * 100:.0f} % of the time: add generators, or look at less"
    if whole.lag > LAGGING:
        return f"the loop of a generator lagged {whole.lag * 1000:.0f} ms: its machine is too busy"
    if whole.late >= FEW_LATE and whole.late / whole.sent > LATE_SHARE:
        percent = whole.late / whole.sent * 100
        return f"{percent:.1f} % of the sessions began more than {LATE * 1000:.0f} ms late"
    return None
