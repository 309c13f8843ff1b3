"""`bench trace`: a workload, or an access log, in the form that cache simulators read."""

from __future__ import annotations

from pathlib import Path

import click

from bench import scenario
from bench.load import catalogue
from bench.load import trace as traces
from bench.record import Loop

from .talk import USAGE, console, fail

_FORMS = {"oracleGeneral": traces.oracle_general, "csv": traces.csv}


@click.command(
    help="""Write which files a SCENARIO asks for, and when, to a file that a cache simulator reads.

    \b
    Examples:
      penstock bench trace steady -o steady.oracleGeneral
      penstock bench trace steady --set duration=1h --form csv -o steady.csv
      penstock bench trace --log access.log -o ours.oracleGeneral

    oracleGeneral is the binary format of libCacheSim. Files of more than 1 GiB are told as objects of that size.
    """,
)
@click.argument("name", metavar="[SCENARIO]", required=False)
@click.option("--log", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An access log instead.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Any key of the scenario. Repeatable.")
@click.option("--form", type=click.Choice(list(_FORMS)), default="oracleGeneral", show_default=True)
@click.option("-o", "--out", metavar="FILE", required=True, type=click.Path(dir_okay=False, path_type=Path))
def trace(name: str | None, log: Path | None, changes: tuple[str, ...], form: str, out: Path) -> None:
    if (name is None) == (log is None):
        fail(USAGE, "name a scenario, or a log with --log", then=["penstock bench scenarios"])
    try:
        found = traces.from_log(log, speed=1.0) if log is not None else _drawn(str(name), changes)
        out.write_bytes(_FORMS[form](found))
    except scenario.ScenarioError as error:
        fail(USAGE, error.what, error.mistakes, then=["penstock bench scenarios"])
    except (traces.NoTrace, OSError) as error:
        fail(USAGE, str(error))
    console().print(f"{len(found.requests)} requests in {found.seconds:.0f} s: {out}")


def _drawn(name: str, changes: tuple[str, ...]) -> traces.Trace:
    """Raises ScenarioError."""
    wanted = scenario.read(scenario.find(name), dict(scenario.change(text) for text in changes))
    if wanted.load.loop is Loop.CLOSED:
        raise scenario.ScenarioError(f"{name} is a closed loop: when its requests come depends on the mirror")
    repos = catalogue.drawn(wanted.catalogue.extent(), wanted.seed)
    habits = wanted.clients.habits(herd=wanted.load.shape == "herd")
    return traces.from_workload(repos, habits, wanted.load.arrivals(), wanted.duration, wanted.seed)
