"""The page: a record, its plots and tables, put into the template."""

from __future__ import annotations

import datetime
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench import verdict
from bench.record import Mark, Run

from . import tables
from .assets import HERE, Assets, assets
from .plot import Plot
from .plots import plots

_DIGITS = 5
MARKS_DRAWN = 100


def rendered(run: Run, carried: Assets | None = None) -> str:
    """The report of `run`, whole in one HTML text. Raises MissingAsset, Unreadable."""
    found = verdict.findings(run)
    drawn = plots(run)
    return fill(
        "report.html",
        carried or assets(),
        drawn,
        [(letter(number), mark) for number, mark in enumerate(run.marks)],
        run=run,
        began=moment_told(run.begin),
        weight=verdict.weight(found).name.lower(),
        headline=verdict.headline(verdict.weight(found)),
        findings=found,
        tiles=tables.tiles(run),
        again=again(run),
        tables={
            "Requests by kind": tables.kinds(run),
            "Errors": tables.errors(run),
            "Accounts": tables.accounts(run),
            "Books": tables.books(run),
        },
        facts={
            "Load": tables.generator(run),
            "Environment": tables.environment(run),
        },
        settings=tables.settings(run).rows,
    )


Signed = Sequence[tuple[str, Mark]]
"""Marks, each with the sign that stands for it in the plots."""


def fill(template: str, carried: Assets, drawn: Sequence[Plot], marks: Signed, **named: Any) -> str:
    """`template` with the plots and `named` in it."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        carried=carried,
        plots=[(plot, tables.numbers(plot)) for plot in drawn],
        drawing=drawing(drawn, marks[:MARKS_DRAWN]),
        marks=marks[:MARKS_DRAWN],
        **named,
    )


def drawing(drawn: Sequence[Plot], marks: Signed) -> dict[str, Any]:
    """What the page's script reads: JSON, with numbers as short as a screen can tell apart."""
    return {
        "plots": [
            {
                "name": plot.name,
                "unit": plot.unit.name.lower(),
                "across": plot.across,
                "look": plot.look,
                "log": plot.log,
                "top": plot.top,
                "xs": plot.xs,
                "curves": [
                    {
                        "label": curve.label,
                        "colour": curve.colour,
                        "dash": curve.dash,
                        "values": [None if value is None else float(f"{value:.{_DIGITS}g}") for value in curve.values],
                    }
                    for curve in plot.curves
                ],
            }
            for plot in drawn
        ],
        "marks": [{"sign": sign, "second": mark.second} for sign, mark in marks],
    }


def letter(number: int) -> str:
    """A, B, …, Z, A1, B1, …: short enough to stand on a line in a plot."""
    lap, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(lap) if lap else "")


def moment_told(begin: float) -> str:
    """`2026-05-28 20:26:41 UTC`."""
    return datetime.datetime.fromtimestamp(begin, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def again(run: Run) -> str:
    """The command that runs the same again."""
    return shlex.join(["penstock", "bench", "run", run.scenario.name, "--seed", str(run.scenario.seed)])


def write(text: str, path: Path) -> None:
    """Put the page at `path`, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
