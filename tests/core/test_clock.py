from __future__ import annotations

from proxy.core.clock import ManualClock, SystemClock


def test_a_manual_clock_moves_only_when_moved() -> None:
    clock = ManualClock(now=5.0)
    assert (clock.monotonic(), clock.wall()) == (5.0, 5.0)
    clock.advance(2.5)
    assert (clock.monotonic(), clock.wall()) == (7.5, 7.5)


def test_the_system_clock_does_not_go_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)
    assert clock.wall() > 1_700_000_000
