"""When the load generator counts as the bottleneck: just above each threshold, and not at it."""

from __future__ import annotations

from typing import Any

import pytest

from bench.load.tally import Totals
from bench.recording import BUSY, FEW_LATE, LAGGING, LATE_SHARE, generator


def totals(**sums: Any) -> Totals:
    """Of a process that ran for 100 seconds and sent 1,000 sessions."""
    return Totals(**{"planned": 1000, "sent": 1000, "seconds": 100.0, **sums})


AT_EASE = totals(cpu_seconds=1.0)
OVER: list[tuple[dict[str, Any], str]] = [
    ({"cpu_seconds": 100 * BUSY + 0.1}, "was busy 90 % of the time"),
    ({"lag": LAGGING + 0.001}, "lagged 101 ms"),
    ({"late": int(1000 * LATE_SHARE) + 1}, "1.1 % of the sessions began more than"),
]
JUST_NOT: list[dict[str, Any]] = [
    {},
    {"cpu_seconds": 100 * BUSY},
    {"lag": LAGGING},
    {"late": int(1000 * LATE_SHARE)},
    {"sent": 100, "late": FEW_LATE - 1},
]


@pytest.mark.parametrize(("sums", "words"), OVER)
def test_a_generator_that_has_too_much_to_do_is_the_bottleneck_and_says_why(sums: dict[str, Any], words: str) -> None:
    assert words in (generator([totals(**sums)]).saturated or "")


@pytest.mark.parametrize("sums", JUST_NOT)
def test_a_generator_that_keeps_up_is_not(sums: dict[str, Any]) -> None:
    assert generator([totals(**sums)]).saturated is None


def test_one_busy_process_is_enough_however_idle_the_others_are() -> None:
    busy, late = totals(cpu_seconds=95.0), totals(lag=0.5)
    assert generator([AT_EASE, AT_EASE, busy]).cpu_share == 0.95
    assert "busy 95 %" in (generator([AT_EASE, busy, AT_EASE]).saturated or "")
    assert "lagged 500 ms" in (generator([late, AT_EASE]).saturated or "")


def test_late_sessions_count_over_all_processes() -> None:
    late = totals(late=15)
    assert generator([late]).saturated is not None
    assert generator([late, AT_EASE]).saturated is None
