"""`make bench-peers`, or `python -m bench.peers`: Penstock beside what people use in its place.

Everything is on loopback, each server is alone on one core, and takes turns with the others.
"""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import uvloop

from bench.environment import environment
from proxy.core.sizes import parse_size

from . import alone, telling
from .asking import FAILURES, Client, NotMeasurable
from .origin import File, Origin, files, serving
from .results import DIRECT, Results, figures
from .rows import DIRECT as DIRECT_ROWS
from .rows import ROWS, Bench, Figures, Row
from .servers import PENSTOCK, SERVERS, Installed, NotInstalled, NotServing, Running, Server, running

ROW_LIMIT = 120.0
"""Seconds after which a row is given up."""
ALONE_LIMIT = 600.0
"""Of those that need preparation: a million blobs, a fleet."""


SUMMED = ("penstock", "nginx", "varnish", "olah")
"""In the short table."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done."""

    servers: tuple[Server, ...]
    rows: Mapping[str, Row]
    chosen_alone: frozenset[str]
    rounds: int
    size: int
    readers: int
    small_seconds: int
    installed: Installed
    folder: Path


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--size", default="1GiB", show_default=True, help="Of the large files.")
@click.option("--readers", type=click.IntRange(1, 5000), default=1000, show_default=True, help="Slow ones.")
@click.option("--small-seconds", type=click.IntRange(1, 60), default=3, show_default=True, help="Of small requests.")
@click.option("--only", "names", multiple=True, type=click.Choice([one.name for one in SERVERS]), help="Servers.")
@click.option(
    "--row", "rows", multiple=True, type=click.Choice([*ROWS, *alone.ROWS]), help="Rows; cold-whole is always done."
)
@click.option("--installed", type=click.Path(path_type=Path), default=Path(".venv-peers"), show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where caches and logs go [default: a temporary one].")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the page here, too.")
@click.option("--summary", type=click.Path(path_type=Path, exists=True), help="Put the medians into this page, too.")
def main(
    rounds: int,
    size: str,
    readers: int,
    small_seconds: int,
    names: Sequence[str],
    rows: Sequence[str],
    installed: Path,
    folder: Path | None,
    output: Path | None,
    summary: Path | None,
) -> None:
    wanted = tuple(one for one in SERVERS if not names or one.name in names)
    chosen = {name: row for name, row in ROWS.items() if not rows or name in (*rows, "cold-whole")}
    by_itself = frozenset(name for name in alone.ROWS if not rows or name in rows)
    others, _, _ = os.getloadavg()
    place = Installed((installed / "debian").resolve(), (installed / "olah").resolve())
    with tempfile.TemporaryDirectory(prefix="penstock-peers-", dir=folder) as made:
        plan = Plan(wanted, chosen, by_itself, rounds, parse_size(size), readers, small_seconds, place, Path(made))
        try:
            found = uvloop.run(_measured(plan))
        except (NotInstalled, NotServing) as error:
            raise click.ClickException(str(error)) from error
    command = " ".join(["python -m bench.peers", *sys.argv[1:]])
    lines = figures(_size_told(plan.size), readers)
    text = telling.page(
        found, lines, [one.name for one in wanted], environment(""), command, rounds=rounds, others=others
    )
    click.echo(text)
    if output is not None:
        output.write_text(text)
    if summary is not None:
        short = telling.summary(found, lines, [*(one.name for one in wanted if one.name in SUMMED), DIRECT])
        summary.write_text(telling.with_summary(summary.read_text(), short))


async def _measured(plan: Plan) -> Results:
    cores = sorted(os.sched_getaffinity(0))
    server_core, load_core = (cores[0], cores[1]) if len(cores) > 1 and shutil.which("taskset") else (None, None)
    if load_core is not None:
        os.sched_setaffinity(0, {load_core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = Results()
    async with serving(plan.folder, plan.size, load_core) as origin:
        for number in range(plan.rounds):
            await _direct(plan, origin, found, load_core)
            await _alone(plan, origin, found, number, server_core, cores)
            turn = number % len(plan.servers)
            for server in (*plan.servers[turn:], *plan.servers[:turn]):
                folder = plan.folder / f"{number}-{server.name}"
                async with running(server, plan.installed, origin.upstream, folder, server_core) as serves:
                    found.versions[server.name] = serves.version
                    await _rows(plan, origin, serves, found, load_core)
                shutil.rmtree(folder, ignore_errors=True)
    return found


async def _direct(plan: Plan, origin: Origin, found: Results, core: int | None) -> None:
    rows = {name: row for name, row in DIRECT_ROWS.items() if name in plan.rows}
    host, _, port = origin.upstream.cdn.rpartition(":")
    bench = _bench(plan, None, origin, await files(origin), (host, int(port)), core, found)
    await _done(DIRECT, rows, bench, found)


async def _alone(
    plan: Plan, origin: Origin, found: Results, number: int, core: int | None, cores: Sequence[int]
) -> None:
    """What Penstock alone can be asked."""
    if PENSTOCK not in plan.servers:
        return
    all_cores = tuple(cores) if core is not None else ()
    place = alone.Alone(origin, plan.installed, plan.folder / f"{number}-alone", core, all_cores)
    place.folder.mkdir()
    chosen = plan.chosen_alone - alone.ONCE if number else plan.chosen_alone
    measures = {name: functools.partial(row, place) for name, row in alone.ROWS.items() if name in chosen}
    await _each(PENSTOCK.name, measures, found, within=ALONE_LIMIT)
    shutil.rmtree(place.folder, ignore_errors=True)


async def _rows(plan: Plan, origin: Origin, serves: Running, found: Results, core: int | None) -> None:
    bench = _bench(plan, serves, origin, await files(origin), serves.address, core, found)
    await _done(serves.server.name, plan.rows, bench, found)


def _bench(
    plan: Plan,
    serves: Running | None,
    origin: Origin,
    known: Mapping[str, File],
    address: tuple[str, int],
    core: int | None,
    found: Results,
) -> Bench:
    client = Client(address)
    given = (serves, origin, known, client, plan.installed, core, plan.readers, plan.small_seconds)
    return Bench(*given, remarks=found.remarks)


async def _done(name: str, rows: Mapping[str, Row], bench: Bench, found: Results) -> None:
    measures = {row: functools.partial(measure, bench) for row, measure in rows.items()}
    await _each(name, measures, found, within=ROW_LIMIT)


async def _each(
    name: str, rows: Mapping[str, Callable[[], Awaitable[Figures]]], found: Results, *, within: float
) -> None:
    """Every row, also after one that failed: each says something of its own."""
    for row, measure in rows.items():
        try:
            async with asyncio.timeout(within):
                figures_ = await measure()
        except TimeoutError:
            found.failed[row, name] = f"{telling.NOT_DONE} {within:g} s"
        except NotMeasurable as reason:
            found.failed[row, name] = f"{telling.NOT_MEASURABLE}: {reason}"
        except (*FAILURES, NotServing, ExceptionGroup) as error:
            found.failed[row, name] = _reason(error)
        else:
            found.add(name, figures_)
            click.echo(f"{name:12} {row:14} " + "  ".join(f"{k}={v:.4g}" for k, v in figures_.items()), err=True)
            continue
        click.echo(f"{name:12} {row:14} failed: {found.failed[row, name]}", err=True)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _size_told(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


if __name__ == "__main__":
    main()
