"""What came of it: medians, spread, ratios, and whether what we want is reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.words import Unit
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
        Figure("generic-get", "generic_get_cpu", "generic origin, GET of 700 bytes: per CPU-second", per_second, more),
        Figure("generic-get", "generic_get_wall", "generic origin, GET of 700 bytes: wall", per_second, more),
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
    remarks: set[str] = field(default_factory=set)
    """What has to be said of the figures."""

    def add(self, server: str, figures: Mapping[str, float]) -> None:
        for name, number in figures.items():
            self.found.setdefault((name, server), []).append(number)

    def median(self, figure: str, server: str) -> float | None:
        numbers = self.found.get((figure, server))
        return statistics.median(numbers) if numbers else None


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
