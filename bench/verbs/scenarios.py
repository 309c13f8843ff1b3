"""`bench scenarios`: what there is to run."""

from __future__ import annotations

import click

from bench import scenario

from .talk import USAGE, fail


@click.command(
    help="List the scenarios that come with the harness; with a NAME, print that one: a start for one's own."
)
@click.argument("name", required=False)
def scenarios(name: str | None) -> None:
    try:
        if name is not None:
            click.echo(scenario.find(name).read_text(encoding="utf-8"), nl=False)
            return
        for one in scenario.names():
            click.echo(f"{one:14} {scenario.read(scenario.find(one), {}).about}")
    except scenario.ScenarioError as error:
        fail(USAGE, error.what, error.mistakes, then=["penstock bench scenarios"])
