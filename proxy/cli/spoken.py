"""The group of all verbs: it tells what went wrong; where --json was said, what click has to say comes as JSON too."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from .codes import Exit
from .talk import AS_JSON, Failure


class Spoken(click.Group):
    """A group at the root: it knows before any flag is read whether a program or a person will read the answer, and
    tells `talk`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        is_json = "--json" in args
        try:
            context = super().make_context(info_name, after_the_verb(args), parent, **extra)
        except click.UsageError as error:
            if not is_json:
                raise
            _end(_failure(error), as_json=True)
        context.meta[AS_JSON] = is_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        is_json = bool(ctx.meta[AS_JSON])
        try:
            return super().invoke(ctx)
        except Failure as failure:
            _end(failure, as_json=is_json)
        except click.ClickException as error:
            if not is_json:
                raise
            _end(_failure(error), as_json=True)


def after_the_verb(args: list[str]) -> list[str]:
    """The words with a --json that stands before the verb behind all the others: each verb has the flag for itself."""
    verb = next((at for at, word in enumerate(args) if not word.startswith("-")), len(args))
    if "--json" not in args[:verb]:
        return args
    words = [*(word for word in args[:verb] if word != "--json"), *args[verb:]]
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], "--json", *words[end:]]


def _failure(error: click.ClickException) -> Failure:
    of = error.ctx if isinstance(error, click.UsageError) else None
    then = [] if of is None else [f"{of.command_path} --help"]
    return Failure(Exit(error.exit_code), error.format_message(), (), then)


def _end(failure: Failure, *, as_json: bool) -> NoReturn:
    failure.tell(as_json=as_json)
    raise click.exceptions.Exit(int(failure.code))
