"""The pictures of docs/scale.md, of the outcomes of `penstock bench scale run --json`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .chart import Chart, Line

Plain = dict[str, Any]
"""An outcome as JSON."""

_SHARES = ((0.01, "1 %"), (0.02, "2 %"), (0.05, "5 %"), (0.1, "10 %"), (0.2, "20 %"), (0.5, "50 %"), (1.0, "100 %"))
_ACROSS = "what all nodes together keep, in per cent of the repos' bytes"


def pictures(outcomes: Sequence[Plain]) -> dict[str, str]:
    """SVG by file name; each point is the mean over the seeds."""
    plain = [one for one in outcomes if _is_plain(one["wanted"])]
    fleets = sorted({one["wanted"]["nodes"] for one in plain})
    hits, loads = [], []
    for nodes in fleets:
        of = [one for one in plain if one["wanted"]["nodes"] == nodes]
        name = "1 node" if nodes == 1 else f"{nodes} nodes"
        hits.append(_line(f"{name}: not from the origin", of, lambda one: one["hit_ratio"]))
        if nodes > 1:
            hits.append(_line(f"{name}: own disk", of, lambda one: one["own_ratio"]))
            loads.append(_line(f"{name}: all it sends", of, lambda one: one["hottest"]))
            loads.append(_line(f"{name}: to peers", of, lambda one: one["hottest_for_peers"]))
    hits.append(_line("theory: one cache, LRU", plain, lambda one: one["theory"], dashed=True))
    top = max((y for line in loads for _, y in line.points), default=1.0)
    steps = [1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0]
    above = [one for one in steps if one < top] + [next((one for one in steps if one >= top), top)]
    percents = tuple((tenth / 5, f"{tenth * 20} %") for tenth in range(6))
    return {
        "hits.svg": Chart("Bytes that do not come from the origin", _ACROSS, tuple(hits), _SHARES, percents).svg(),
        "hottest.svg": Chart(
            "The hottest node over the mean", _ACROSS, tuple(loads), _SHARES, tuple((one, f"{one:g}") for one in above)
        ).svg(),
    }


def _is_plain(wanted: Plain) -> bool:
    changed = wanted["lru"] or not wanted["owned_stay"] or wanted.get("kept_again") or wanted["lose_at"]
    changed = changed or not wanted["relieved"]
    return not changed and 0.01 <= wanted["cache"] <= 1.0


def _line(title: str, outcomes: Iterable[Plain], value: Callable[[Plain], float], *, dashed: bool = False) -> Line:
    by_cache: dict[float, list[float]] = {}
    for one in outcomes:
        by_cache.setdefault(one["wanted"]["cache"], []).append(value(one))
    return Line(title, tuple((cache, statistics.mean(found)) for cache, found in sorted(by_cache.items())), dashed)
