"""The command line of `python -m tests.storm`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click
import uvloop

from .run import SHAPES, Order, stormed


@click.command(
    help="""Let clients, operators and faults loose on real nodes, by a seed, and judge every answer.

    \b
      python -m tests.storm --seed 7 --seconds 60 --shape workers
      python -m tests.storm --seeds 1-20 --seconds 20 --only kill --only disk-full

    Exit codes: 0 nothing to complain of; 1 there is.
    """
)
@click.option("--seed", "first", default=1, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="How many, from --seed on.")
@click.option("--seconds", default=20.0, show_default=True, help="Of each.")
@click.option("--shape", default="one", show_default=True, type=click.Choice([*SHAPES]))
@click.option("--clients", default=8, show_default=True)
@click.option("--disk", default="20MiB", show_default=True, help="Size of each of a node's two disks.")
@click.option("--only", multiple=True, help="These faults alone; `none` for no fault.")
@click.option("--keep", type=click.Path(path_type=Path), help="Leave logs and disks of a bad run there.")
def main(
    first: int,
    seeds: int,
    seconds: float,
    shape: str,
    clients: int,
    disk: str,
    only: tuple[str, ...],
    keep: Path | None,
) -> None:
    bad = 0
    for seed in range(first, first + seeds):
        order = Order(seed, seconds, shape, clients, disk, only)
        folder = Path(tempfile.mkdtemp(prefix="storm-"))
        try:
            report = uvloop.run(stormed(order, folder))
            click.echo(str(report))
            bad += bool(report.complaints)
            if report.complaints and keep is not None:
                shutil.copytree(folder, keep / f"{shape}-{seed}", dirs_exist_ok=True, ignore_dangling_symlinks=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
