"""What a picture is: curves with names and units, before anybody draws them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bench.words import Unit

Values = tuple[float | None, ...]


class Across(StrEnum):
    """What a plot's x means."""

    TIME = "time"
    """Seconds of the run."""
    PERCENTILE = "percentile"
    """log10 of 100 / (100 − percent), so that each nine takes the same room."""
    RANK = "rank"


class Look(StrEnum):
    """How a plot is drawn."""

    LINES = "lines"
    STACKED = "stacked"
    BARS = "bars"


@dataclass(frozen=True, slots=True)
class Curve:
    """One line, area or row of bars. `colour` names a colour of the style sheet, `dash` its pattern in pixels."""

    label: str
    colour: str
    values: Values
    dash: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture. `said` is what it shows, in a sentence, for those who cannot see it."""

    name: str
    title: str
    said: str
    unit: Unit
    across: Across
    xs: tuple[float, ...]
    curves: tuple[Curve, ...]
    look: Look = Look.LINES
    log: bool = False
    top: float | None = None
    """Where the y axis ends, if it has an end."""

    @property
    def is_empty(self) -> bool:
        """There is nothing to see. A share of zero is something to see; zero of anything else is not."""
        values = [value for curve in self.curves for value in curve.values if value is not None]
        return not values if self.unit is Unit.SHARE else not any(values)
