"""The comparison in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.words import told

from .comparison import Judgement, Row, Ruling, change_told, interval_told

_WORD = {Judgement.BETTER: "better", Judgement.WORSE: "WORSE", Judgement.SAME: "≈", Judgement.UNKNOWN: "?"}
_STYLE = {Judgement.BETTER: "green", Judgement.WORSE: "bold red", Judgement.SAME: "dim", Judgement.UNKNOWN: "dim"}


def show(console: Console, rows: Sequence[Row], rulings: Sequence[Ruling], cautions: Sequence[str]) -> None:
    """Cautions first, since they decide how the rest is read; rulings last, where the eye ends up."""
    for caution in cautions:
        console.print(Text("caution: ", style="yellow") + Text(caution))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for heading in ("A", "B", "change", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        unit = row.yardstick.unit
        table.add_row(
            Text(row.yardstick.name),
            Text(told(row.before, unit)),
            Text(told(row.after, unit)),
            Text(change_told(row), style=_STYLE[row.judgement]),
            Text(interval_told(row), style="dim"),
            Text(_WORD[row.judgement], style=_STYLE[row.judgement]),
        )
    console.print(table)
    console.print(Text("≈ no difference seen: the interval holds zero; ? no interval", style="dim"))
    for ruling in rulings:
        sign = Text("✗ ", style="bold red") if ruling.holds else Text("✓ ", style="green")
        console.print(sign + Text(ruling.said))
