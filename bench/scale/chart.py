"""Lines over a logarithmic axis as SVG, small and without a library: pictures for a page that is read in a browser.

uPlot draws what people look into (`bench.report`); these stand still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 250, 34, 44
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555", "#e69f00")
"""Told apart also by those who do not see all colours (Okabe and Ito)."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of points, ascending in x (> 0); `dashed` for what is not simulated."""

    title: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """`ticks` are where the axes are marked, with what is written there."""

    title: str
    across: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]

    def svg(self) -> str:
        """The whole file."""
        text = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{_LEFT}" y="20" font-size="14" font-weight="bold">{escape(self.title)}</text>',
            *self._axes(),
        ]
        for number, line in enumerate(self.lines):
            text += self._drawn(line, number)
        return "\n".join([*text, "</svg>", ""])

    def _axes(self) -> list[str]:
        text = []
        for value, title in self.y_ticks:
            y = self._y(value)
            text.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
            text.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(title)}</text>')
        for value, title in self.x_ticks:
            x = self._x(value)
            text.append(f'<path d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}" stroke="#eee"/>')
            text.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(title)}</text>')
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        text.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(self.across)}</text>')
        return text

    def _drawn(self, line: Line, number: int) -> list[str]:
        colour, dashes = COLOURS[number % len(COLOURS)], ' stroke-dasharray="6 4"' if line.dashed else ""
        places = [(self._x(x), self._y(y)) for x, y in line.points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        text = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>']
        text += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places if not line.dashed]
        x, y = WIDTH - _RIGHT + 12, _TOP + 14 + 18 * number
        text.append(f'<path d="M{x} {y - 4}H{x + 20}" stroke="{colour}" stroke-width="2"{dashes}/>')
        text.append(f'<text x="{x + 26}" y="{y}">{escape(line.title)}</text>')
        return text

    def _x(self, value: float) -> float:
        return _LEFT + _share(math.log(value), [math.log(one) for one, _ in self.x_ticks]) * (WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - _share(value, [one for one, _ in self.y_ticks]) * (HEIGHT - _TOP - _BOTTOM)


def _share(value: float, ticks: Sequence[float]) -> float:
    return (value - ticks[0]) / (ticks[-1] - ticks[0])
