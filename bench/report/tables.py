"""The numbers of a run, as rows of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.histograms import Histogram, Measure, merged
from bench.record import Run
from bench.words import Unit, told
from bench.yardsticks import named, value

from .plot import Across, Plot

ROWS_TOLD = 24
"""Of a plot's numbers in words; more would be read by nobody."""
_SETTINGS_TOLD = 400


@dataclass(frozen=True, slots=True)
class Table:
    """A heading and rows; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that people ask for first."""

    title: str
    told: str


_TILES = (
    "throughput",
    "requests",
    "ttfb_p50",
    "ttfb_p99",
    "hit_ratio",
    "amplification",
    "errors",
    "cost",
    "memory",
    "fairness",
)


def tiles(run: Run) -> list[Tile]:
    """The first numbers, without those that this run does not have."""
    sticks = [named(name) for name in _TILES]
    found = [(stick, value(run, stick)) for stick in sticks]
    return [Tile(stick.title, told(number, stick.unit)) for stick, number in found if number is not None]


def kinds(run: Run) -> Table:
    """How each kind of request did."""
    names = sorted({one.kind for one in run.latencies.whole})
    columns = ("request", "count", "first byte p50", "p99", "greatest", "service p50", "p99", "rate p10", "p50")
    return Table(columns, tuple(_kind_row(run, name) for name in names))


def _kind_row(run: Run, kind: str) -> tuple[str, ...]:
    def of(measure: Measure) -> Histogram:
        chosen = (one for one in run.latencies.whole if (one.kind, one.measure) == (kind, measure))
        return merged(measure, (one.histogram() for one in chosen))

    first, service, rate = of(Measure.FIRST_BYTE), of(Measure.SERVICE), of(Measure.RATE)
    return (
        kind,
        f"{max(len(first), len(service)):,}",
        *_told(first, 50.0, 99.0),
        *_told(first, 100.0),
        *_told(service, 50.0, 99.0),
        *_told(rate, 10.0, 50.0),
    )


def _told(histogram: Histogram, *percents: float) -> list[str]:
    unit = Unit.BYTES_PER_SECOND if histogram.measure.is_rate else Unit.SECONDS
    if not len(histogram):
        return [told(None, unit)] * len(percents)
    return [told(found, unit) for found in histogram.at(percents)]


def errors(run: Run) -> Table:
    """Every class of error with an example, the unexpected ones first."""
    ordered = sorted(run.errors, key=lambda one: (one.expected, -one.count))
    rows = ((one.name, f"{one.count:,}", "yes" if one.expected else "NO", one.example) for one in ordered)
    return Table(("error", "count", "expected", "for example"), tuple(rows))


def accounts(run: Run) -> Table:
    """The sums of the books."""
    rows = (
        (one.name, f"{one.left:,}", f"{one.right:,}", f"{one.slack:,}", "holds" if one.holds else "DOES NOT HOLD")
        for one in run.conservation.sums
    )
    return Table(("account", "one side", "other side", "allowed apart", ""), tuple(rows))


def books(run: Run) -> Table:
    """Whose count is what."""
    account = run.conservation
    by_source = [(f"proxy: delivered from {source}", count) for source, count in account.proxy_bytes.items()]
    counted = [
        ("clients: received", account.client_bytes),
        *by_source,
        ("proxy: read from the origin", account.proxy_origin_bytes),
        ("origin: sent", account.origin_bytes),
        ("a perfect cache would have read", account.unique_bytes),
    ]
    return Table(("bytes", "count", ""), tuple((name, f"{n:,}", told(n, Unit.BYTES)) for name, n in counted))


def generator(run: Run) -> Table:
    """How the load itself did."""
    load = run.generator
    rows = (
        ("arrivals planned", f"{load.planned:,}"),
        ("sent", f"{load.sent:,}"),
        ("of them late", f"{load.late:,}"),
        ("never sent", f"{load.dropped:,}"),
        ("processes", f"{load.processes:,}"),
        ("busiest process", f"{told(load.cpu_share, Unit.SHARE)} of a core"),
        ("greatest lag of its loop", told(load.lag_seconds, Unit.SECONDS)),
        ("was the bottleneck", load.saturated or "no"),
    )
    return Table(("load generator", ""), rows)


def environment(run: Run) -> Table:
    """Where it ran."""
    place = run.environment
    rows = [
        ("processor", f"{place.cpu}, {place.cores} cores"),
        ("memory", told(place.memory_bytes, Unit.BYTES)),
        ("kernel", place.kernel),
        ("held to cores", place.pinning or "nothing"),
        ("revision", place.revision or "not known"),
        *sorted(place.versions.items()),
    ]
    if run.target is not None:
        rows.insert(0, ("driven", run.target))
    return Table(("environment", ""), tuple(rows))


def settings(run: Run) -> Table:
    """The scenario's configuration, flat: `origin.rate = 50MB/s`."""
    rows = list(_flat(run.scenario.settings))
    cut = [("…", f"{len(rows) - _SETTINGS_TOLD:,} more in run.json")] if len(rows) > _SETTINGS_TOLD else []
    return Table(("setting", ""), (*rows[:_SETTINGS_TOLD], *cut))


def _flat(value_: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value_, dict) and value_:
        for name, inner in value_.items():
            yield from _flat(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value_, list) and any(isinstance(inner, dict | list) for inner in value_):
        for number, inner in enumerate(value_):
            yield from _flat(inner, f"{place}[{number}]")
    else:
        yield place, "" if value_ is None else str(value_)


def numbers(plot: Plot) -> Table:
    """What a plot shows, in at most ROWS_TOLD rows."""
    step = max(-(-len(plot.xs) // ROWS_TOLD), 1)
    chosen = range(0, len(plot.xs), step)
    rows = (
        (_x(plot, plot.xs[place]), *(told(curve.values[place], plot.unit) for curve in plot.curves)) for place in chosen
    )
    heading = {Across.TIME: "second", Across.PERCENTILE: "percentile", Across.RANK: "rank"}[plot.across]
    return Table((heading, *(curve.label for curve in plot.curves)), tuple(rows))


def _x(plot: Plot, x: float) -> str:
    if plot.across is Across.PERCENTILE:
        return f"{100 * (1 - 10**-x):.6g}"
    return f"{x:g}"
