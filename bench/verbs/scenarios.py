"""`bench scenarios`: what there is to run."""

from __future__ import annotations

import click

from bench import scenario
from bench.reference import reference

from .talk import USAGE, fail


@click.command(
    help="""List the scenarios that come with the harness; with a NAME, print that one: a start for one's own.

    \b
    Examples:
      penstock bench scenarios
      penstock bench scenarios steady > mine.toml      then: penstock bench run mine.toml
      penstock bench scenarios --keys                  every key of a scenario, with what it means
    """
)
@click.argument("name", required=False)
@click.option("--keys", is_flag=True, help="Every key with its default, and every fault.")
def scenarios(name: str | None, *, keys: bool) -> None:
    try:
        if keys:
            click.echo(reference(), nl=False)
            return
        if name is not None:
            click.echo(scenario.find(name).read_text(encoding="utf-8"), nl=False)
            return
        for one in scenario.names():
            click.echo(f"{one:14} {scenario.read(scenario.find(one), {}).about}")
    except scenario.ScenarioError as error:
        fail(USAGE, error.what, error.mistakes, then=["penstock bench scenarios"])
