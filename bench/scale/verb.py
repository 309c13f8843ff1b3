"""`penstock bench scale`: simulate fleets, or compare the simulation with real nodes."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
import orjson

from bench.hub.units import parse_size
from bench.scenario import Scenario, ScenarioError, change, find, read

from .demand import steady
from .outcome import Outcome, Wanted, simulated
from .pictures import pictures
from .reality import TOLERANCE, Seen, compared
from .table import rows, table

HERE: Final = Path(__file__).parent


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="""A fleet on a virtual clock: what many nodes hold, ask one another, the origin and Redis.

    Who owns a slice, who relieves its owner and what is evicted is decided by the modules that decide in production.

    \b
    Examples:
      penstock bench scale run --nodes 23 --requests 1e6          a fleet, in some ten seconds
      penstock bench scale run --nodes 23,100 --cache 0.05,0.2    what a larger cache is worth
      penstock bench scale theory --repos 2e6                     one cache, by theory, in seconds
      penstock bench scale reality                                eight real nodes, the same trace

    What came of it, and what it says of 6 PB a day: docs/scale.md
    """,
)
def scale() -> None:
    pass


@scale.command(help="Simulate fleets: every combination of what is given, each in a process of its own.")
@click.option("--nodes", default="23", show_default=True, help="How many; several with commas.")
@click.option("--cache", default="0.17", show_default=True, help="Bytes all nodes may keep, over those of the repos.")
@click.option("--requests", default="1e7", show_default=True, help="Of HTTP, in all.")
@click.option("--seed", "seeds", default="1", show_default=True)
@click.option(
    "--workload", default="", help="A scenario of `bench run`, or a .toml file  [default: that of docs/scale.md]."
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the workload, as in `bench run`.")
@click.option("--ghosts", default=2000, show_default=True, help="Evicted files that a node remembers.")
@click.option("--without-relief", is_flag=True, help="Only owners are asked.")
@click.option("--lru", is_flag=True, help="Evict the longest unread instead: what theory speaks of.")
@click.option(
    "--owned-go", is_flag=True, help="Newcomers go unread, whoever owns them; the store keeps what a node owns."
)
@click.option("--kept-again", is_flag=True, help="Peers' bytes are kept at the second reading; not what nodes do.")
@click.option("--lose-node", is_flag=True, help="One node dies after three quarters of the requests.")
@click.option("--at-once", type=click.IntRange(1, 64), default=os.cpu_count() or 1, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="All figures, one line each.")
def run(
    nodes: str,
    cache: str,
    requests: str,
    seeds: str,
    workload: str,
    changes: Sequence[str],
    ghosts: int,
    without_relief: bool,
    lru: bool,
    owned_go: bool,
    kept_again: bool,
    lose_node: bool,
    at_once: int,
    as_json: bool,
) -> None:
    count = int(_number(requests))
    wanted = [
        Wanted(
            nodes=int(number),
            cache=share,
            requests=count,
            seed=int(seed),
            relieved=not without_relief,
            ghosts=ghosts,
            lru=lru,
            owned_stay=not owned_go,
            kept_again=kept_again,
            lose_at=count * 3 // 4 if lose_node else None,
        )
        for number, share, seed in itertools.product(_numbers(nodes), _numbers(cache), _numbers(seeds))
    ]
    found = []
    for outcome in outcomes(_scenario(workload, changes), wanted, at_once):
        found.append(outcome)
        if as_json:
            click.echo(orjson.dumps(asdict(outcome)))
    if not as_json:
        click.echo(table(rows(found)))


@scale.command(
    help="Give real nodes on this machine the trace that is simulated. Exits 1 where the two are too far apart."
)
@click.option("--nodes", "count", type=click.IntRange(2, 32), default=8, show_default=True)
@click.option("--disk", default="64MiB", show_default=True, help="What one node may keep.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the workload (bench/scale/reality.toml)."
)
@click.option("--json", "as_json", is_flag=True)
def reality(count: int, disk: str, seed: int, changes: Sequence[str], as_json: bool) -> None:
    scenario = _scenario(str(HERE / "reality.toml"), changes)
    with tempfile.TemporaryDirectory(prefix="penstock-scale-") as folder:
        found = asyncio.run(compared(scenario, Path(folder), count=count, room=parse_size(disk), seed=seed))
    if as_json:
        click.echo(orjson.dumps({**asdict(found), "tolerance": asdict(TOLERANCE), "agree": found.agree}))
    else:
        click.echo(table(_side_by_side(found.simulated, found.real)))
        about = (
            f"{found.readings:,} readings of {found.wanted / 1e9:.2f} GB, the latest {found.late:.2f} s after its time"
        )
        click.echo(f"\n{about}.")
    sys.exit(0 if found.agree else 1)


@scale.command(help="What theory says of one cache with LRU, of any size, without simulating it.")
@click.option("--repos", default="2e4,2e6", show_default=True, help="Popular ones; several with commas.")
@click.option("--cache", default="0.02,0.05,0.1,0.17,0.3,0.6", show_default=True)
@click.option("--alpha", default="0.8,1.0,1.2", show_default=True, help="Of Zipf's law.")
@click.option("--workload", default="")
@click.option("--seed", default=1, show_default=True)
def theory(repos: str, cache: str, alpha: str, workload: str, seed: int) -> None:
    lines = [["repos", "alpha", *(f"{share:.0%}" for share in _numbers(cache))]]
    for count, one in itertools.product(_numbers(repos), _numbers(alpha)):
        scenario = _scenario(workload, [f"clients.alpha={one}"])
        ratios = (steady(scenario, int(count), share, seed) for share in _numbers(cache))
        lines.append([f"{count:,.0f}", f"{one:g}", *(f"{ratio:.3f}" for ratio in ratios)])
    click.echo(table(lines))


@scale.command(help="Draw the pictures of docs/scale.md from what `run --json` has printed.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), default="docs/scale", show_default=True
)
def plot(files: Sequence[Path], output: Path) -> None:
    found = [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]
    output.mkdir(parents=True, exist_ok=True)
    for name, text in pictures(found).items():
        (output / name).write_text(text)
        click.echo(output / name)


def outcomes(scenario: Scenario, wanted: Sequence[Wanted], at_once: int) -> Iterator[Outcome]:
    """In the order of `wanted`."""
    if at_once == 1 or len(wanted) == 1:
        yield from (simulated(scenario, one) for one in wanted)
        return
    with ProcessPoolExecutor(at_once) as pool:
        yield from pool.map(simulated, itertools.repeat(scenario), wanted)


def _side_by_side(model: Seen, real: Seen) -> list[list[str]]:
    lines = [["", "simulated", "real", "may differ by"]]
    names = {"origin_share": "from the origin", "peer_share": "from peers", "hottest": "hottest node / mean"}
    for name, title in names.items():
        lines.append([title, *(f"{getattr(one, name):.3f}" for one in (model, real, TOLERANCE))])
    return lines


def _scenario(name: str, changes: Sequence[str]) -> Scenario:
    try:
        path = find(name) if name else HERE / "workload.toml"
        return read(path, dict(map(change, changes)))
    except ScenarioError as error:
        raise click.UsageError(str(error)) from error


def _numbers(text: str) -> list[float]:
    return [_number(one) for one in text.split(",")]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is not a number") from None
