"""The numbers of one run in the terminal: a screen that one can read aloud."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .histograms import Measure
from .record import Run, Source
from .words import NOTHING, Unit, told
from .yardsticks import named, percentile, value

_PERCENTS: Final = (50.0, 90.0, 99.0, 99.9)
_TIMES: Final = (("first byte, from when it was due", Measure.FIRST_BYTE), ("service", Measure.SERVICE))
_COUNTS: Final = (
    ("requests", "requests"),
    ("hit ratio", "hit_ratio"),
    ("of bytes", "byte_hit_ratio"),
    ("origin amplification", "amplification"),
    ("failed", "errors"),
    ("fairness", "fairness"),
)
_COSTS: Final = (("delivered", "cost"), ("answered", "request_cost"), ("most memory", "memory"))


def summary(run: Run) -> RenderableType:
    """Throughput, latencies, shares and costs."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(justify="right", no_wrap=True, style="bold")
    rows.add_column()
    rows.add_row("throughput", _throughput(run))
    rows.add_row("answers", _listed(run, _COUNTS))
    if run.cost is not None:
        rows.add_row("mirror", _listed(run, _COSTS))
    generator = run.generator
    load = f"{generator.sent:,} sessions, {generator.late:,} late, {generator.dropped:,} dropped"
    rows.add_row("load", f"{load}; busiest generator {told(generator.cpu_share, Unit.SHARE)} of a core")
    return Group(rows, _times(run))


def _throughput(run: Run) -> str:
    sources = {source: sum(moment.bytes.get(source, 0) for moment in run.series) for source in Source}
    whole = sum(sources.values())
    shares = [f"{source} {told(count / whole, Unit.SHARE)}" for source, count in sources.items() if count]
    found = value(run, named("throughput"))
    if not whole:  # a mirror that does not tell what it delivers
        found = run.conservation.client_bytes / run.seconds
    told_of_sources = f": {', '.join(shares)}" if shares else ""
    return told(found, Unit.BYTES_PER_SECOND) + told_of_sources


def _listed(run: Run, wanted: tuple[tuple[str, str], ...]) -> str:
    found = [(title, named(name)) for title, name in wanted]
    words = [(title, told(value(run, yardstick), yardstick.unit)) for title, yardstick in found]
    return ", ".join(f"{title} {text}" for title, text in words if text != NOTHING)


def _times(run: Run) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2))
    table.add_column("", justify="right", no_wrap=True)
    for percent in _PERCENTS:
        table.add_column(f"p{percent:g}", justify="right", no_wrap=True)
    for title, measure in _TIMES:
        histogram = run.latencies.of(measure)
        table.add_row(Text(title, style="bold"), *(told(percentile(histogram, one), Unit.SECONDS) for one in _PERCENTS))
    return table
