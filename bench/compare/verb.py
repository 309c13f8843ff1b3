"""`penstock bench cmp`: two runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import record
from bench.conditions import Condition, NoCondition, parsed
from bench.record import Run, Unreadable
from bench.report.assets import MissingAsset
from bench.report.page import write

from . import comparison, page, terminal
from .comparison import Row, Ruling
from .sample import Sample

NOT_FOUND = 3
MAX_RUNS = 100
"""On a side."""


class _Condition(click.ParamType[Condition]):
    name = "condition"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Condition:
        if isinstance(value, Condition):
            return value
        try:
            return parsed(value)
        except NoCondition as error:
            self.fail(str(error), parameter, context)


class _Missing(click.ClickException):
    exit_code = NOT_FOUND


@click.command(
    name="cmp",
    help="""Compare run B with run A, or several of each.

    \b
    Examples:
      penstock bench cmp before/run.json after/run.json
      penstock bench cmp before after --fail-if 'ttfb_p99>+10%' --fail-if 'errors>0.1%' -o cmp.html

    A side is a run.json, a folder with one, or a folder of such folders: several runs of the same are trusted more than
    one. The interval says where 95 of 100 repetitions would be expected, by drawing seconds (and runs) again; "no
    difference seen" means that it holds zero.

    \b
    A condition is a yardstick, a comparison, a bound:
      ttfb_p99>100ms        B's first byte, p99, is above 100 ms
      ttfb_p99>+10%         … is more than 10 % above A's
      throughput<-5%        B delivers more than 5 % less than A
      amplification>1.02x   errors>0.1%   hit_ratio<-0.02   cost<-5%   memory>+50MB

    Exit codes: 0 no condition holds, 1 one does or cannot be judged, or a run cannot be read, 2 usage, 3 no such run.
    """,
)
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@click.option("--fail-if", "conditions", metavar="CONDITION", type=_Condition(), multiple=True, help="May be repeated.")
@click.option("--sure", is_flag=True, help="A condition must hold in 95 of 100 draws, not only of the number found.")
@click.option("--draws", type=click.IntRange(100, 10_000), default=comparison.DRAWS, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the draws.")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write HTML, too."
)
@click.option("--json", "as_json", is_flag=True, help="Write the numbers as JSON to standard output.")
def cmp(
    before: Path,
    after: Path,
    conditions: Sequence[Condition],
    sure: bool,
    draws: int,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    old, new = _runs(before), _runs(after)
    one, other = Sample([run for _, run in old]), Sample([run for _, run in new])
    compared = comparison.Comparison(one, other, seed=seed, draws=draws)
    rows = compared.rows()
    rulings = [compared.ruled(given, sure=sure) for given in conditions]
    cautions = comparison.cautions(one.runs, other.runs)
    if as_json:
        click.echo(json.dumps(_as_json(rows, rulings, cautions), indent=2))
    else:
        terminal.show(Console(highlight=False, soft_wrap=True), rows, rulings, cautions)
    if output is not None:
        _write(page_of(old, new, rows, rulings, cautions), output)
    if any(ruling.holds for ruling in rulings):
        raise click.exceptions.Exit(1)


def page_of(
    old: page.Named, new: page.Named, rows: Sequence[Row], rulings: Sequence[Ruling], cautions: Sequence[str]
) -> str:
    try:
        return page.rendered(old, new, rows, rulings, cautions)
    except MissingAsset as error:
        raise click.ClickException(f"{error}\ntry:   {error.remedy}") from error


def _write(text: str, output: Path) -> None:
    try:
        write(text, output)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error
    click.echo(f"written: {output}", err=True)


def _runs(side: Path) -> list[tuple[str, Run]]:
    files = runs_at(side)
    if not files:
        raise _Missing(f"there is no run at {side}")
    if len(files) > MAX_RUNS:
        raise click.ClickException(f"{side}: more than {MAX_RUNS} runs")
    try:
        return [(str(file), record.read(file)) for file in files]
    except Unreadable as error:
        raise click.ClickException(str(error)) from error


def runs_at(side: Path) -> list[Path]:
    """The records that `side` stands for: a file, a folder with `run.json`, or a folder of either."""
    if not side.is_dir():
        return [side] if side.exists() else []
    if (side / "run.json").exists():
        return [side / "run.json"]
    return sorted({*side.glob("*/run.json"), *side.glob("*.json")})


def _as_json(rows: Sequence[Row], rulings: Sequence[Ruling], cautions: Sequence[str]) -> dict[str, Any]:
    return {
        "changes": {
            row.yardstick.name: {
                "before": row.before,
                "after": row.after,
                "change": row.change,
                "interval": None if row.interval is None else [row.interval.low, row.interval.high],
                "judgement": row.judgement.value,
            }
            for row in rows
        },
        "conditions": [{"condition": one.condition.text, "holds": one.holds, "said": one.said} for one in rulings],
        "cautions": list(cautions),
    }
