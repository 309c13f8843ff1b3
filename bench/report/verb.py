"""`penstock bench report`: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from bench import record, verdict
from bench.record import Unreadable

from . import page
from .assets import MissingAsset

NOT_FOUND = 3


@click.command(
    help="""Write the report of a run as one HTML file that opens anywhere, without a network.

    \b
    Examples:
      penstock bench report out/run.json                  writes out/report.html
      penstock bench report out -o /tmp/steady.html

    Exit codes: 0 written (whatever the run was like), 1 it cannot be written, 3 there is no such run.
    """
)
@click.argument("run", metavar="RUN.JSON", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it [default: report.html beside the run].",
)
def report(run: Path, output: Path | None) -> None:
    if not run.exists():
        raise _Missing(f"there is no run at {run}")
    target = output or (run if run.is_dir() else run.parent) / "report.html"
    try:
        found = record.read(run)
        page.write(page.rendered(found), target)
    except Unreadable as error:
        raise click.ClickException(str(error)) from error
    except MissingAsset as error:
        raise click.ClickException(f"{error}\ntry:   {error.remedy}") from error
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from error
    click.echo(f"{verdict.headline(verdict.weight(verdict.findings(found)))}: {target}", err=True)


class _Missing(click.ClickException):
    exit_code = NOT_FOUND
