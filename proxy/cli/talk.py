"""How the command speaks: data on standard output, talk on standard error; an error says what, why, and what next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import click
from rich.console import Console
from rich.text import Text

from .codes import Exit


class _Talk(Console):
    """A console that may be talking to nobody: a node goes on when the one who started it has closed the pipe."""

    def on_broken_pipe(self) -> None:
        pass


def console() -> Console:
    """Standard error; without colour when NO_COLOR is set or it is no terminal."""
    return _Talk(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(text: str = "", style: str = "") -> None:
    console().print(Text(text, style=style))


def hint(text: str) -> None:
    console().print(Text("hint: ", style="yellow") + Text(text))


def fail(code: Exit, what: str, why: Sequence[str] = (), *, then: Sequence[str] = ()) -> NoReturn:
    """Print the error and leave with `code`. `why` are details, one a line; `then` the commands to try next."""
    out = console()
    out.print(Text("error: ", style="bold red") + Text(what))
    for line in why:
        out.print(Text(f"  {line}"))
    for command in then:
        out.print(Text("try:   ", style="bold") + Text(command))
    raise click.exceptions.Exit(int(code))


def put(text: str) -> None:
    """Data for standard output."""
    click.echo(text, nl=not text.endswith("\n"))
