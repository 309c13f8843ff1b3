"""`penstock bench`: hands over to the load-test harness, which is a package beside this one and may be missing."""

from __future__ import annotations

import importlib

import click

from .codes import Exit
from .talk import fail


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    short_help="Put a load on a mirror, report what was found, compare runs.",
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    try:
        harness = importlib.import_module("bench.__main__")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "bench":
            raise
        fail(
            Exit.FAILURE,
            "the load-test harness is not part of this installation",
            then=["pip install 'penstock[bench]'"],
        )
    raise click.exceptions.Exit(
        harness.main.main(args=list(arguments), prog_name="penstock bench", standalone_mode=False) or 0
    )
