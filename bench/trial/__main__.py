"""The command line of `python -m bench.trial`: runs, a table on standard output, and all figures as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Coroutine
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from bench.hub.units import parse_rate, parse_size
from bench.node import NotStarted

from .faults import FAULTS, needs_redis, needs_relays
from .run import Outcome, Setting, story, timed_alone
from .stand import Plan

T = TypeVar("T")


@click.command(
    help="""Let cold clients at every node of a fleet read one blob, break something midway, and count.

    \b
    Examples:
      python -m bench.trial --size 256MiB                                      three nodes, 64 clients at each, no fault
      python -m bench.trial --size 256MiB --fault owner-killed --fault redis-killed
      python -m bench.trial --fault all --json faults.json
      python -m bench.trial --nodes 100 --clients 2 --pieces 16 --no-single    each reads 1 MiB of each of 16 slices

    Exit codes: 0 all bytes right, no client error at a node that lived, nothing left; 1 not so, or it could not run.
    """
)
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(2, 250))
@click.option("--clients", default=64, show_default=True, type=click.IntRange(1), help="At each node.")
@click.option("--size", default="1GiB", show_default=True, type=parse_size)
@click.option("--rate", default="50MB/s", show_default=True, type=parse_rate, help="Of the origin, for all together.")
@click.option("--fault", "faults", multiple=True, type=click.Choice([*FAULTS, "all"]), default=("none",))
@click.option(
    "--at", default=0.4, show_default=True, help="The fault comes when so much of the blob has left the origin."
)
@click.option("--for", "seconds", default=15.0, show_default=True, help="Seconds for which a pause or a cut lasts.")
@click.option("--pieces", default=0, help="Read 1 MiB from so many slices (of a blob that has them) and not the whole.")
@click.option("--workers", default=1, show_default=True, help="Of each node.")
@click.option("--readers", default=0, help="Processes for the clients. [default: one for each core]")
@click.option("--redis/--no-redis", default=True, show_default=True)
@click.option("--single/--no-single", default=True, help="Also time one client at one node.")
@click.option("--set", "settings", multiple=True, metavar="KNOB=VALUE", help="For the nodes; VALUE is JSON or a text.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder in which the nodes' logs stay.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Where the figures go.")
def main(
    nodes: int,
    clients: int,
    size: int,
    rate: float,
    faults: tuple[str, ...],
    at: float,
    seconds: float,
    pieces: int,
    workers: int,
    readers: int,
    redis: bool,
    single: bool,
    settings: tuple[str, ...],
    keep: Path | None,
    out: Path | None,
) -> None:
    knobs = dict(_knob(text) for text in settings)
    size = pieces << 26 if pieces else size
    plan = Plan(Path(), nodes, size, rate, redis, relays=False, missing=0, workers=workers, settings=knobs)
    setting = Setting("none", clients, at, seconds, pieces, readers or os.cpu_count() or 1)
    names = list(FAULTS) if "all" in faults else list(faults)
    names = [name for name in names if redis or not needs_redis(name)]
    try:
        alone = _timed_alone(plan) if single and not pieces else None
        found = []
        for name in names:
            found.append(_told(plan, replace(setting, fault=name), alone, keep))
            click.echo(found[-1].line())
            if out is not None:
                out.write_text(json.dumps([asdict(one) for one in found], indent=2))
    except NotStarted as error:
        raise click.ClickException(str(error)) from None
    sys.exit(0 if all(one.is_good for one in found) else 1)


def _knob(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _timed_alone(plan: Plan) -> float:
    with tempfile.TemporaryDirectory(prefix="penstock-fleet-") as folder:
        seconds = _ran(timed_alone(replace(plan, folder=Path(folder), nodes=1, redis=False)))
    click.echo(f"one client at one node: {seconds:.1f} s")
    click.echo(Outcome.HEADING)
    return seconds


def _told(plan: Plan, setting: Setting, alone: float | None, keep: Path | None) -> Outcome:
    missing = 1 if setting.fault == "node-joins" else 0
    with tempfile.TemporaryDirectory(prefix="penstock-fleet-") as folder:
        plan = replace(plan, folder=Path(folder), relays=needs_relays(setting.fault), missing=missing)
        found = _ran(story(plan, setting, alone))
        for log in Path(folder).glob("n*/mirror.log") if keep else ():
            assert keep is not None
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, keep / f"{setting.fault}-{log.parent.name}.log")
        return found


def _ran(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


if __name__ == "__main__":
    main(prog_name="python -m bench.trial")
