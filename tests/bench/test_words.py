"""Numbers in words."""

from __future__ import annotations

import pytest

from bench.words import Unit, change, told


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, Unit.SECONDS, "–"),
        (0.0032, Unit.SECONDS, "3.20 ms"),
        (12.0, Unit.SECONDS, "12.0 s"),
        (0.0, Unit.SECONDS, "0 µs"),
        (0.00045, Unit.SECONDS, "450 µs"),
        (0, Unit.BYTES, "0 B"),
        (999.7, Unit.BYTES, "1.00 kB"),
        (350e6, Unit.BYTES_PER_SECOND, "350 MB/s"),
        (2.62e9, Unit.BYTES_PER_CPU_SECOND, "2.62 GB/CPU-s"),
        (11_600.0, Unit.PER_SECOND, "11,600/s"),
        (1.0, Unit.SHARE, "100 %"),
        (0.9999, Unit.SHARE, "99.99 %"),
        (0.0004, Unit.SHARE, "0.04 %"),
        (0.001042, Unit.SHARE, "0.104 %"),
        (1e-9, Unit.SHARE, "<0.001 %"),
        (0.0, Unit.SHARE, "0 %"),
        (1.004, Unit.TIMES, "1.00 ×"),
        (1234567, Unit.COUNT, "1,234,567"),
    ],
)
def test_three_digits_and_a_unit(value: float | None, unit: Unit, text: str) -> None:
    assert told(value, unit) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (100, 112, "+12.0 %"),
        (100, 97, "−3.0 %"),
        (100, 100.001, "±0 %"),
        (100, 100.03, "+0.03 %"),
        (0, 5, "–"),
        (None, 5, "–"),
        (5, None, "–"),
    ],
)
def test_a_change_is_told_with_its_sign(before: float | None, after: float | None, text: str) -> None:
    assert change(before, after) == text
