"""The comparison as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence

from bench.record import Run
from bench.report import tables
from bench.report.assets import Assets, assets
from bench.report.page import fill, moment_told
from bench.report.tables import Table
from bench.words import told

from .comparison import Judgement, Row, Ruling, change_told, interval_told
from .overlay import marks, overlaid

Named = Sequence[tuple[str, Run]]
"""Runs with the names they were given by."""


def rendered(
    before: Named,
    after: Named,
    rows: Sequence[Row],
    rulings: Sequence[Ruling],
    cautions: Sequence[str],
    carried: Assets | None = None,
) -> str:
    """Both sides in one page. Raises MissingAsset, Unreadable."""
    old, new = [run for _, run in before], [run for _, run in after]
    return fill(
        "compare.html",
        carried or assets(),
        overlaid(old, new),
        # Numbers here: A and B are the sides.
        [(str(number), mark) for number, mark in enumerate(marks(old, new), 1)],
        sides=[("A", [_side(*one) for one in before]), ("B", [_side(*one) for one in after])],
        weight=_weight(rows, rulings),
        headline=headline(rows, rulings),
        rulings=rulings,
        cautions=cautions,
        changes=_changes(rows),
        differences=_differences(old[0], new[0]),
    )


def headline(rows: Sequence[Row], rulings: Sequence[Ruling]) -> str:
    """The answer in a line."""
    holding = sum(ruling.holds for ruling in rulings)
    if holding:
        return f"{holding} of {len(rulings)} conditions to fail {'holds' if holding == 1 else 'hold'}"
    worse = [row.yardstick.title for row in rows if row.judgement is Judgement.WORSE]
    better = [row.yardstick.title for row in rows if row.judgement is Judgement.BETTER]
    if worse:
        return f"B is worse in {_few(worse)}" + (f", better in {_few(better)}" if better else "")
    return f"B is better in {_few(better)}" if better else "No difference seen"


_NAMED = 3


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return "; ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _weight(rows: Sequence[Row], rulings: Sequence[Ruling]) -> str:
    if any(ruling.holds for ruling in rulings):
        return "fault"
    return "doubt" if any(row.judgement is Judgement.WORSE for row in rows) else "good"


def _side(name: str, run: Run) -> str:
    return f"{name}: {run.scenario.name}, {moment_told(run.begin)}, {run.seconds:.1f} s, seed {run.scenario.seed}"


def _changes(rows: Sequence[Row]) -> list[tuple[str, tuple[str, ...]]]:
    """Each row with the class that colours its judgement."""
    return [
        (
            row.judgement.value if row.judgement in (Judgement.BETTER, Judgement.WORSE) else "",
            (
                row.yardstick.title,
                change_told(row),
                row.judgement.value,
                interval_told(row),
                told(row.before, row.yardstick.unit),
                told(row.after, row.yardstick.unit),
            ),
        )
        for row in rows
    ]


def _facts(run: Run) -> dict[str, str]:
    rows = (*tables.environment(run).rows, *tables.settings(run).rows)
    return {row[0]: row[1] for row in rows}


def _differences(before: Run, after: Run) -> Table:
    """Settings and places that are not the same in the first run of each side."""
    old, new = _facts(before), _facts(after)
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return Table(("setting", "A", "B"), tuple((name, old.get(name, "–"), new.get(name, "–")) for name in names))
