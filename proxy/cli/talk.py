"""How the command speaks: data on standard output, talk on standard error; an error says what, why, and what next.

To a program (--json) it does not talk: standard output is JSON, standard error is empty, or one JSON object that is the
error: `error`, `why` (a list), `next` (commands), `exit_code`, and `kind`, the name of that code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click
import orjson
from rich.console import Console
from rich.text import Text

from .codes import Exit

AS_JSON: Final = "penstock.json"
"""In the `meta` of click's context: whether a program reads the answer."""


class _Talk(Console):
    """A console that may be talking to nobody: a node goes on when the one who started it has closed the pipe."""

    def on_broken_pipe(self) -> None:
        pass


def console() -> Console:
    """Standard error; without colour when NO_COLOR is set or it is no terminal."""
    return _Talk(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(text: str = "", style: str = "") -> None:
    if not _is_read_by_a_program():
        console().print(Text(text, style=style))


def hint(text: str) -> None:
    if not _is_read_by_a_program():
        console().print(Text("hint: ", style="yellow") + Text(text))


class Failure(Exception):
    """The command ends with `code`. The root of all verbs tells it (`Spoken`): what was drawn is gone by then."""

    def __init__(self, code: Exit, what: str, why: Sequence[str], then: Sequence[str]) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = tuple(why)
        self.then = tuple(then)

    def tell(self, *, as_json: bool) -> None:
        if as_json:
            click.echo(orjson.dumps(self._object(), option=orjson.OPT_INDENT_2).decode(), err=True)
            return
        out = console()
        out.print(Text("error: ", style="bold red") + Text(self.what))
        for line in self.why:
            out.print(Text(f"  {line}"))
        for command in self.then:
            out.print(Text("try:   ", style="bold") + Text(command))

    def _object(self) -> dict[str, Any]:
        return {
            "error": self.what,
            "why": list(self.why),
            "next": list(self.then),
            "exit_code": int(self.code),
            "kind": self.code.name.lower().replace("_", "-"),
        }


def fail(code: Exit, what: str, why: Sequence[str] = (), *, then: Sequence[str] = ()) -> NoReturn:
    """End the command with this error. `why` are details, one a line; `then` the commands to try next."""
    raise Failure(code, what, why, then)


def put(text: str) -> None:
    """Data for standard output."""
    click.echo(text, nl=not text.endswith("\n"))


def put_json(value: Any) -> None:
    """`value` on standard output."""
    put(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _is_read_by_a_program() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(AS_JSON))
