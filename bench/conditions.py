"""Conditions on the numbers of a run, as people write them: `ttfb_p99<100ms`, `errors<0.1%`, `ttfb_p99>+10%`.

    condition  :=  yardstick  ( '<' | '<=' | '>' | '>=' )  bound
    bound      :=  number unit            an amount: 100ms, 1.5GB/s, 0.1%, 2x, 300
                |  ('+' | '-') number '%' a change against another run, as a part of what that run has
                |  ('+' | '-') number unit a change against another run, as an amount

Units: us ms s; B kB MB GB TB (and with /s); % for shares; x for times; none for counts and requests per second.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from .words import Unit
from .yardsticks import Unknown, Yardstick, named

_TIMES = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_SIZES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
_UNITS: dict[Unit, dict[str, float]] = {
    Unit.SECONDS: _TIMES,
    Unit.BYTES: _SIZES,
    Unit.BYTES_PER_SECOND: _SIZES | {f"{name}/s": factor for name, factor in _SIZES.items()},
    Unit.BYTES_PER_CPU_SECOND: _SIZES | {f"{name}/s": factor for name, factor in _SIZES.items()},
    Unit.PER_SECOND: {"": 1.0, "/s": 1.0},
    Unit.SHARE: {"%": 0.01, "": 1.0},
    Unit.TIMES: {"x": 1.0, "×": 1.0, "": 1.0},
    Unit.COUNT: {"": 1.0},
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FORM = re.compile(
    r"\s*(?P<name>\w+)\s*(?P<sign><=|>=|<|>)\s*(?P<way>[+\-−]?)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Zµ%×/]*)\s*",
    re.ASCII,
)
_MAX_LENGTH = 200


class NoCondition(ValueError):
    """The text is no condition; says what is wrong and how one looks."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A bound in the unit of the yardstick."""

    value: float


@dataclass(frozen=True, slots=True)
class ChangeBy:
    """A bound on the difference to another run, in the unit of the yardstick."""

    value: float


@dataclass(frozen=True, slots=True)
class ChangeByPart:
    """A bound on the difference to another run, as a part of what that run has (0.1 is +10 %)."""

    value: float


Bound = Amount | ChangeBy | ChangeByPart


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison that holds or does not."""

    text: str
    yardstick: Yardstick
    sign: str
    bound: Bound

    @property
    def is_relative(self) -> bool:
        """It needs another run to compare with."""
        return not isinstance(self.bound, Amount)

    def holds(self, found: float | None, before: float | None = None) -> bool:
        """Whether `found` (against `before`, if relative) meets it. What is not known meets nothing."""
        limit = self.limit(before)
        return found is not None and limit is not None and _COMPARISONS[self.sign](found, limit)

    def limit(self, before: float | None) -> float | None:
        """What the yardstick is compared with; None if that depends on a run that has no such number."""
        if isinstance(self.bound, Amount):
            return self.bound.value
        if before is None:
            return None
        if isinstance(self.bound, ChangeByPart):
            return before * (1 + self.bound.value)
        return before + self.bound.value


def parsed(text: str) -> Condition:
    """The condition that `text` says. Raises NoCondition."""
    match = _FORM.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise NoCondition(f"{text[:_MAX_LENGTH]!r} is no condition; write it like ttfb_p99<100ms or ttfb_p99>+10%")
    try:
        yardstick = named(match["name"])
    except Unknown as error:
        raise NoCondition(f"{text!r}: {error}") from error
    return Condition(text.strip(), yardstick, match["sign"], _bound(text, yardstick, match))


def _bound(text: str, yardstick: Yardstick, match: re.Match[str]) -> Bound:
    number, way, unit = float(match["number"]), match["way"], match["unit"]
    signed = -number if way in ("-", "−") else number
    if way and unit == "%":
        return ChangeByPart(signed / 100)
    factors = _UNITS[yardstick.unit]
    factor = factors.get(unit, factors.get(unit.lower()))
    if factor is None:
        spelled = ", ".join(repr(name) if name else "no unit" for name in factors)
        raise NoCondition(f"{text!r}: {yardstick.name} is measured in {spelled}, not in {unit or 'bare numbers'!r}")
    return ChangeBy(signed * factor) if way else Amount(signed * factor)
