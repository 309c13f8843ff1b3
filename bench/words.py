"""Numbers in words: three digits and a unit, the same in the terminal, the report and the tables."""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_never

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
NOTHING = "–"
"""What is told of a number that nobody knows."""


class Unit(Enum):
    """What a number is a number of."""

    SECONDS = auto()
    BYTES = auto()
    BYTES_PER_SECOND = auto()
    BYTES_PER_CPU_SECOND = auto()
    PER_SECOND = auto()
    SHARE = auto()
    """0 to 1, told in percent."""
    TIMES = auto()
    COUNT = auto()


def told(value: float | None, unit: Unit) -> str:
    """`value` for people: told(0.0032, SECONDS) is `3.20 ms`; a dash for None."""
    if value is None:
        return NOTHING
    match unit:
        case Unit.SECONDS:
            return _seconds(value)
        case Unit.BYTES:
            return _bytes(value)
        case Unit.BYTES_PER_SECOND:
            return f"{_bytes(value)}/s"
        case Unit.BYTES_PER_CPU_SECOND:
            return f"{_bytes(value)}/CPU-s"
        case Unit.PER_SECOND:
            return f"{_three(value)}/s"
        case Unit.SHARE:
            return f"{_share(value)} %"
        case Unit.TIMES:
            return f"{value:.2f} ×"
        case Unit.COUNT:
            return f"{value:,.0f}"
        case _:
            assert_never(unit)


def change(before: float | None, after: float | None) -> str:
    """How `after` differs from `before`: `+12.0 %`, `−3.1 %`, `±0 %`; a dash where that means nothing."""
    if before is None or after is None or before == 0:
        return NOTHING
    return signed_percent(after / before - 1)


def signed_percent(part: float) -> str:
    """`+12.0 %` for 0.12, `+0.03 %` for 0.0003."""
    digits = 1 if abs(part) >= 0.001 else 2
    percent = round(part * 100, digits)
    if percent == 0:
        return "±0 %"
    return f"{'+' if percent > 0 else '−'}{abs(percent):,.{digits}f} %"


def _seconds(value: float) -> str:
    for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or name == "µs":
            return f"{_three(value * factor)} {name}"
    raise AssertionError("the last unit takes everything")


def _bytes(value: float) -> str:
    step = 0
    while abs(value) >= 999.5 and step < len(_BYTES) - 1:
        value, step = value / 1000, step + 1
    return f"{_three(value) if step else f'{value:.0f}'} {_BYTES[step]}"


def _three(value: float) -> str:
    """Three digits that count; thousands are not broken off."""
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def _share(value: float) -> str:
    """Percent; never `100` or `0` for what is only nearly so."""
    percent = value * 100
    if 0 < percent < 1:
        return f"{percent:.3g}" if percent >= 0.001 else "<0.001"
    for digits in (1, 2, 3, 4):
        text = f"{percent:.{digits}f}"
        if float(text) != 100:
            return text if float(text) else "0"
    return f"{percent:.0f}"
