"""The command line of `python -m deploy.walk`."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sys
from collections.abc import Sequence

import aiohttp
import click

from . import paths
from .ground import Ground, Walked
from .page import row, written
from .path import PATHS, Path


def all_paths() -> Sequence[Path]:
    """Every walk there is."""
    for module in pkgutil.iter_modules(paths.__path__):
        importlib.import_module(f"{paths.__name__}.{module.name}")
    return PATHS


async def walked(one: Path) -> Walked:
    """Walk it. Raises AssertionError when it does not go as the page says."""
    async with Ground.open(one.alerts) as ground:
        await one.walk(ground)
        return ground.walked


@click.command(
    help="""Walk through the runbook: break each thing, wait for its alert, do what the page says, wait for its end.

    \b
    Examples:
      python -m deploy.walk                                 all of it, half an hour
      python -m deploy.walk --alert PenstockRedisAway
      python -m deploy.walk --write                         and put what was seen into docs/operations.md

    It needs what `make judges` fetches (a Prometheus), redis-server, and for some of it root (to mount a tmpfs).
    Windows and delays of the alerts are made short; their conditions are those that are shipped.

    Exit codes: 0 each alert fired and ended, 1 not so.
    """
)
@click.option("--alert", "wanted", multiple=True, help="Only this one. Repeatable.")
@click.option("--write", is_flag=True, help="Put the figures into docs/operations.md.")
def main(wanted: tuple[str, ...], write: bool) -> None:
    failed = 0
    for one in all_paths():
        if wanted and not set(wanted) & set(one.alerts):
            continue
        try:
            seen = asyncio.run(walked(one))
        except (AssertionError, LookupError, OSError, TimeoutError, aiohttp.ClientError) as error:
            failed += 1
            click.echo(f"{', '.join(one.alerts)}: FAILED: {error!r}", err=True)
            continue
        for alert in one.alerts:
            click.echo(row(alert, one, seen))
        if write:
            written(one, seen)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(prog_name="python -m deploy.walk")
