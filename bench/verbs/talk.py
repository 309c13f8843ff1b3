"""How the verbs speak: data on standard output, talk on standard error; an error says what, why, and what next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import click
from rich.console import Console
from rich.text import Text

FAILURE = 1
USAGE = 2


def console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def fail(code: int, what: str, why: Sequence[str] = (), *, then: Sequence[str] = ()) -> NoReturn:
    """Print the error and leave with `code`. `why` are details, one a line; `then` the commands to try next."""
    out = console()
    out.print(Text("error: ", style="bold red") + Text(what))
    for line in why:
        out.print(Text(f"  {line}"))
    for command in then:
        out.print(Text("try:   ", style="bold") + Text(command))
    raise click.exceptions.Exit(code)
