"""What came of it: medians, spread, ratios, and whether what we want is reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.record import Environment
from bench.words import Unit, told
from bench.yardsticks import Better

OURS = "penstock"
DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Beats:
    """We are to be `factor` times as good as a peer."""

    peer: str
    factor: float


@dataclass(frozen=True, slots=True)
class NearDirect:
    """Ours may be at most `factor` times what the origin itself takes, and `more` (in the figure's unit)."""

    factor: float = 1.0
    more: float = 0.0


@dataclass(frozen=True, slots=True)
class AtMost:
    value: float


@dataclass(frozen=True, slots=True)
class AtLeast:
    value: float


Want = Beats | NearDirect | AtMost | AtLeast


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `row` is where it is measured."""

    row: str
    name: str
    title: str
    unit: Unit
    better: Better
    wants: tuple[Want, ...] = ()


def figures(size: str, readers: int) -> tuple[Figure, ...]:
    """All lines, of files of `size`."""
    more, less = Better.MORE, Better.LESS
    per_cpu, rate, per_second = Unit.BYTES_PER_CPU_SECOND, Unit.BYTES_PER_SECOND, Unit.PER_SECOND
    nginx, olah, many = (Beats("nginx", 1.3),), (Beats("olah", 10.0),), (Beats("olah", 200.0),)
    small = (Beats("nginx", 1.5),)
    return (
        Figure("warm-whole", "warm_whole_cpu", f"warm, {size} whole: per CPU-second", per_cpu, more, nginx),
        Figure("warm-whole", "warm_whole_wall", f"warm, {size} whole: wall", rate, more, olah),
        Figure("warm-ranges", "warm_ranges_cpu", "warm, ranges of 16 MiB: per CPU-second", per_cpu, more, nginx),
        Figure("warm-ranges", "warm_ranges_wall", "warm, ranges of 16 MiB: wall", rate, more, olah),
        Figure("small-get", "small_get_cpu", "warm, GET of 700 bytes: per CPU-second", per_second, more, small),
        Figure("small-get", "small_get_wall", "warm, GET of 700 bytes: wall", per_second, more, many),
        Figure("small-head", "small_head_cpu", "warm, HEAD: per CPU-second", per_second, more, small),
        Figure("small-head", "small_head_wall", "warm, HEAD: wall", per_second, more, many),
        Figure(
            "cold-whole",
            "cold_whole_wall",
            f"cold, {size} whole, one client",
            Unit.SECONDS,
            less,
            (Beats("nginx", 2.0),),
        ),
        Figure("cold-whole", "cold_whole_first", "… its first byte", Unit.SECONDS, less, (NearDirect(more=0.02),)),
        Figure("cold-tail", "cold_tail_wall", f"cold, last MiB of {size}", Unit.SECONDS, less),
        Figure("cold-tail", "cold_tail_origin", "… bytes from the origin", Unit.TIMES, less),
        Figure(
            "herd", "herd_wall", "64 cold clients of 128 MiB, origin 50 MB/s", Unit.SECONDS, less, (NearDirect(1.1),)
        ),
        Figure("herd", "herd_first", "… the last first byte", Unit.SECONDS, less, (NearDirect(more=0.1),)),
        Figure("herd", "herd_origin", "… bytes from the origin", Unit.TIMES, less, (AtMost(1.005),)),
        Figure(
            "slow-readers",
            "slow_memory",
            f"{readers:,} readers at 100 kB/s: memory of each",
            Unit.BYTES,
            less,
            (AtMost(65536.0),),
        ),
        Figure("origin-off", "origin_off", "origin off: GET, HEAD, range served", Unit.SHARE, more, (AtLeast(1.0),)),
        Figure("restart", "restart_ready", "restart with 1,000,000 blobs: ready", Unit.SECONDS, less, (AtMost(5.0),)),
        Figure("restart", "restart_hit", "… first hit", Unit.SECONDS, less, (AtMost(0.05),)),
        Figure(
            "cold-disk",
            "cold_disk_lag",
            f"{size} cold on disk: loop lag, p99",
            Unit.SECONDS,
            less,
            (AtMost(0.01),),
        ),
        Figure(
            "fleet-herd",
            "fleet_origin",
            "3 nodes, 64 cold clients each, owner killed midway: bytes from the origin",
            Unit.TIMES,
            less,
            (AtMost(1.02),),
        ),
        Figure("fleet-herd", "fleet_right", "… all bytes right, no client error", Unit.SHARE, more, (AtLeast(1.0),)),
    )


@dataclass(slots=True)
class Results:
    """All numbers, as they come in."""

    found: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """(figure, server) -> a number for each round."""
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    """(row, server) -> why the row could not be done, the last time."""
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, server: str, figures: Mapping[str, float]) -> None:
        for name, number in figures.items():
            self.found.setdefault((name, server), []).append(number)

    def median(self, figure: str, server: str) -> float | None:
        numbers = self.found.get((figure, server))
        return statistics.median(numbers) if numbers else None


def cell(results: Results, figure: Figure, server: str) -> str:
    """`2.52 GB/s (2.40 – 2.61), 0.8 ×`: median, smallest and greatest, and how many times as good as this we are."""
    numbers = results.found.get((figure.name, server))
    failure = results.failed.get((figure.row, server), "")
    if not numbers:
        return failure if failure.startswith("not done within") else "failed" if failure else "–"
    median = statistics.median(numbers)
    text = told(median, figure.unit)
    if len(numbers) > 1:
        text += f" ({_bare(min(numbers), figure.unit)} – {_bare(max(numbers), figure.unit)})"
    if server != OURS and (ratio := times_as_good(results, figure, server)) is not None:
        text += f", **{_factor(ratio)}**"
    return text


def times_as_good(results: Results, figure: Figure, server: str) -> float | None:
    """How many times as good as `server` we are; None where that says nothing."""
    ours, theirs = results.median(figure.name, OURS), results.median(figure.name, server)
    if not ours or not theirs:
        return None
    return ours / theirs if figure.better is Better.MORE else theirs / ours


def reached(results: Results, figure: Figure, want: Want) -> bool | None:
    """None if it cannot be said."""
    ours = results.median(figure.name, OURS)
    if ours is None:
        return None
    match want:
        case Beats(peer, factor):
            ratio = times_as_good(results, figure, peer)
            return None if ratio is None else ratio >= factor
        case NearDirect(factor, more):
            direct = results.median(figure.name, DIRECT)
            return None if direct is None else ours <= direct * factor + more
        case AtMost(limit):
            return ours <= limit
        case AtLeast(limit):
            return ours >= limit


def want_told(want: Want, unit: Unit) -> str:
    match want:
        case Beats(peer, factor):
            return f"≥ {factor:g} × {peer}"
        case NearDirect(factor, more):
            text = "≤ " + (f"{factor:g} × direct" if factor != 1.0 else "direct")
            return text + (f" + {told(more, unit)}" if more else "")
        case AtMost(limit):
            return f"≤ {told(limit, unit)}"
        case AtLeast(limit):
            return f"≥ {told(limit, unit)}"


_ANSWER = {True: "yes", False: "**no**", None: "?"}


def table(results: Results, lines: Sequence[Figure], servers: Sequence[str]) -> str:
    """Markdown."""
    heads = [f"{name} {results.versions.get(name, '')}".strip() for name in servers]
    text = ["| | " + " | ".join(heads) + " | wanted | reached |", "|---" * (len(servers) + 3) + "|"]
    for figure in lines:
        cells = [cell(results, figure, server) for server in servers]
        if all(one == "–" for one in cells):
            continue
        wants = "; ".join(want_told(want, figure.unit) for want in figure.wants)
        answers = "; ".join(_ANSWER[reached(results, figure, want)] for want in figure.wants)
        text.append(f"| {figure.title} | " + " | ".join(cells) + f" | {wants} | {answers} |")
    return "\n".join(text)


def page(
    results: Results,
    lines: Sequence[Figure],
    servers: Sequence[str],
    place: Environment,
    command: str,
    *,
    rounds: int,
    others: float,
) -> str:
    """The whole of bench/RESULTS.md. `others` is the load average before anything was started."""
    failures = [f"- {server}, {row}: {why}" for (row, server), why in sorted(results.failed.items())]
    return "\n".join(
        [
            "# Side by side",
            "",
            f"    {command}",
            "",
            f"Medians of {rounds} rounds in which the servers took turns, smallest and greatest in brackets; behind",
            "each peer, in bold, how many times as good as it Penstock is (below 1: worse). `direct` is the client at",
            "the origin itself. What a row does: `bench/peers/rows.py`.",
            "",
            table(results, lines, [*servers, DIRECT]),
            "",
            *(["What could not be done, the last time:", "", *failures, ""] if failures else []),
            *_about(place, others),
            "",
        ]
    )


def _about(place: Environment, others: float) -> list[str]:
    return [
        "## The machine, and what it cannot show",
        "",
        f"{place.cpu}, {place.cores} cores, {told(place.memory_bytes, Unit.BYTES)}, Linux {place.kernel}, Python "
        f"{place.versions['python']}, revision {place.revision or 'not known'}.",
        "The server has one core, the synthetic Hub and the load share another; on loopback, all in the page cache.",
        f"Before it began, the load average was {others:.1f}: " + _trust(others),
        "",
        "- No network card: no driver, no interrupts, no segmentation offload, no loss, no latency. Loopback copies",
        "  where a card would fetch; gigabytes per CPU-second are those of the kernel's copy.",
        "- No disk slower than memory. Cold reads, writeback and a disk's queue are not in these numbers.",
        "- Cold rows end where the synthetic Hub does, which shares its core with the client: they compare servers,",
        "  they do not say how fast one fills.",
        "- The caches are asked for the CDN's own addresses, which spares them the Hub's redirect, its rights and its",
        "  names; the mirrors are asked as clients ask the Hub.",
        "- Wall rates of HEAD are our own loop's where the server is faster than it.",
        "- One core per server: what several workers or threads would add is not shown.",
        "",
        "Configurations: `bench/peers/configs/`, `bench/peers/servers.py`.",
    ]


_IDLE = 0.5


def _trust(others: float) -> str:
    if others < _IDLE:
        return "nothing else was running."
    return "**other work was running; wall times are not to be trusted**, those per CPU-second a little more."


def _bare(value: float, unit: Unit) -> str:
    """Without what all numbers of a line have in common."""
    return told(value, unit).replace("/CPU-s", "").removesuffix("/s")


def _factor(ratio: float) -> str:
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.1f} ×" if ratio >= 10 else f"{ratio:.2f} ×"
