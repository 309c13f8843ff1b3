"""The curves of a run, each with one sentence that says what is to be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from bench.histograms import Measure
from bench.record import Moment, Run, Source
from bench.words import Unit, told
from bench.yardsticks import delivered, fairness, kept_bytes

from .plot import Across, Curve, Look, Plot
from .steps import MAX_POINTS, Steps, curve, nines, stepwise


def plots(run: Run) -> list[Plot]:
    """Everything that is drawn of one run; without those that would be empty."""
    drawn = [
        throughput(run),
        hit_ratio(run),
        first_byte(run),
        transfer_rate(run),
        percentiles(run),
        origin(run),
        requests(run),
        errors(run),
        shares(run),
        memory(run),
    ]
    return [plot for plot in drawn if not plot.is_empty or plot.name == "throughput"]


def throughput(run: Run) -> Plot:
    steps = Steps.of(run.series)
    by_source = {source: steps.mean(partial(_taken_from, source)) for source in Source}
    curves = [Curve(source, source, values) for source, values in by_source.items() if any(values)]
    total = sum(map(delivered, run.series))
    greatest = max(run.series, key=delivered, default=None)
    said = f"{told(total / run.seconds, Unit.BYTES_PER_SECOND)} on average, {told(total, Unit.BYTES)} in all"
    if greatest is not None:
        said += f"; the best second, {greatest.second}, had {told(delivered(greatest), Unit.BYTES)}"
    return Plot(
        "throughput",
        "Throughput by source",
        said + ".",
        Unit.BYTES_PER_SECOND,
        Across.TIME,
        steps.xs,
        tuple(curves or [Curve("delivered", "disk", steps.mean(delivered))]),
        Look.STACKED,
    )


def _taken_from(source: Source, moment: Moment) -> int:
    return moment.bytes.get(source, 0)


def hit_ratio(run: Run) -> Plot:
    steps = Steps.of(run.series)
    of_requests = steps.share(lambda moment: moment.hits, lambda moment: moment.requests)
    of_bytes = steps.share(kept_bytes, delivered)
    asked = sum(moment.requests for moment in run.series)
    part = sum(moment.hits for moment in run.series) / asked if asked else None
    return Plot(
        "hit-ratio",
        "Hit ratio",
        f"{told(part, Unit.SHARE)} of the requests were answered without asking the origin.",
        Unit.SHARE,
        Across.TIME,
        steps.xs,
        (Curve("of requests", "one", of_requests), Curve("of bytes", "two", of_bytes, (6, 4))),
        top=1.0,
    )


def first_byte(run: Run) -> Plot:
    return _over_time(
        run,
        Measure.FIRST_BYTE,
        "first-byte",
        "Time to first byte",
        ((50.0, "one", ()), (90.0, "two", (8, 4)), (99.0, "three", ()), (99.9, "four", (2, 4))),
        "from when the request was due",
    )


def transfer_rate(run: Run) -> Plot:
    return _over_time(
        run,
        Measure.RATE,
        "transfer-rate",
        "Transfer rate of a body",
        ((1.0, "three", ()), (10.0, "two", (8, 4)), (50.0, "one", ())),
        "the slow end counts",
    )


def percentiles(run: Run) -> Plot:
    first, service = run.latencies.of(Measure.FIRST_BYTE), run.latencies.of(Measure.SERVICE)
    xs = nines(max(len(first), len(service)))
    half, high = first.at([50.0, 99.0])
    return Plot(
        "percentiles",
        "Latency by percentile",
        f"First byte: half within {told(half, Unit.SECONDS)}, 99 of 100 within {told(high, Unit.SECONDS)}, "
        f"all within {told(first.greatest(), Unit.SECONDS)}.",
        Unit.SECONDS,
        Across.PERCENTILE,
        xs,
        (
            Curve("first byte, from when it was due", "three", curve(first, xs)),
            Curve("service, from when it was sent", "one", curve(service, xs), (8, 4)),
        ),
        log=True,
    )


def origin(run: Run) -> Plot:
    steps = Steps.of(run.series)
    account = run.conservation
    said = f"The origin gave {told(account.origin_bytes, Unit.BYTES)}"
    if account.amplification is not None:
        said += f", {told(account.amplification, Unit.TIMES)} what a perfect cache would have read once"
    return Plot(
        "origin",
        "What the origin had to give",
        said + ".",
        Unit.BYTES_PER_SECOND,
        Across.TIME,
        steps.xs,
        (
            Curve("delivered", "one", steps.mean(delivered), (8, 4)),
            Curve("from the origin", "fill", steps.mean(lambda moment: moment.origin_bytes)),
        ),
    )


def requests(run: Run) -> Plot:
    steps = Steps.of(run.series)
    asked = sum(moment.requests for moment in run.series)
    most = max((moment.in_flight for moment in run.series), default=0)
    return Plot(
        "requests",
        "Requests",
        f"{told(asked / run.seconds, Unit.PER_SECOND)} on average; at most {most:,} in flight.",
        Unit.COUNT,
        Across.TIME,
        steps.xs,
        (
            Curve("ended per second", "one", steps.mean(lambda moment: moment.requests)),
            Curve("in flight", "two", steps.mean(lambda moment: moment.in_flight), (6, 4)),
        ),
    )


def errors(run: Run) -> Plot:
    steps = Steps.of(run.series)
    failed = sum(moment.errors for moment in run.series)
    bad = [moment.second for moment in run.series if moment.errors]
    when = f", between seconds {bad[0]} and {bad[-1]}" if bad else ""
    return Plot(
        "errors",
        "Failed requests",
        f"{failed:,} in all{when}.",
        Unit.COUNT,
        Across.TIME,
        steps.xs,
        (Curve("failed per second", "bad", steps.mean(lambda moment: moment.errors)),),
        Look.BARS,
    )


def shares(run: Run) -> Plot:
    rates = sorted((share.bytes / share.seconds for share in run.fairness if share.seconds), reverse=True)
    index = fairness(run)
    said = f"{len(rates):,} clients, from {told(rates[0], Unit.BYTES_PER_SECOND)} down to " if rates else ""
    said += f"{told(rates[-1], Unit.BYTES_PER_SECOND)}" if rates else ""
    said += f"; Jain's index {index:.3f} (1 is even)." if index is not None else "."
    chosen = _thinned(rates)
    return Plot(
        "fairness",
        "What each client got",
        said,
        Unit.BYTES_PER_SECOND,
        Across.RANK,
        tuple(float(rank) for rank, _ in chosen),
        (Curve("client", "one", tuple(rate for _, rate in chosen)),),
        Look.BARS,
    )


def memory(run: Run) -> Plot:
    """A mirror that leaks climbs here for hours."""
    looks = run.resources[:: math.ceil(len(run.resources) / MAX_POINTS) or 1]
    most = max((one.resident_bytes for one in looks), default=0)
    files = max((one.descriptors for one in looks), default=0)
    return Plot(
        "memory",
        "Memory of the mirror",
        f"At most {told(most, Unit.BYTES)} resident, and {files:,} files and sockets open, all processes together.",
        Unit.BYTES,
        Across.TIME,
        tuple(one.second for one in looks),
        (Curve("resident", "one", tuple(float(one.resident_bytes) for one in looks)),),
    )


def _thinned(rates: Sequence[float]) -> list[tuple[int, float]]:
    step = math.ceil(len(rates) / MAX_POINTS) or 1
    return [(rank + 1, rates[rank]) for rank in range(0, len(rates), step)]


Line = tuple[float, str, tuple[int, ...]]


def _over_time(run: Run, measure: Measure, name: str, title: str, lines: Sequence[Line], note: str) -> Plot:
    steps = stepwise(run.latencies.intervals, measure, run.seconds)
    percents = [percent for percent, _, _ in lines]
    found = [histogram.at(percents) if len(histogram) else None for _, histogram in steps]
    unit = Unit.BYTES_PER_SECOND if measure.is_rate else Unit.SECONDS
    whole = run.latencies.of(measure).at(percents)
    told_ = ", ".join(f"p{percent:g} {told(value, unit)}" for percent, value in zip(percents, whole, strict=True))
    return Plot(
        name,
        title,
        f"Over the whole run: {told_}; {note}.",
        unit,
        Across.TIME,
        tuple(begin for begin, _ in steps),
        tuple(
            Curve(f"p{percent:g}", colour, tuple(None if one is None else one[place] for one in found), dash)
            for place, (percent, colour, dash) in enumerate(lines)
        ),
        log=True,
    )
