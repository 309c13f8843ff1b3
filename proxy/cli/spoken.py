"""The group of all verbs: where --json was said, what click itself has to say comes as JSON too."""

from __future__ import annotations

from typing import Any

import click

from .codes import Exit
from .talk import AS_JSON, fail


class Spoken(click.Group):
    """A group at the root: it knows before any flag is read whether a program or a person will read the answer, and
    tells `talk`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        is_json = "--json" in args
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[AS_JSON] = is_json
        return context

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if not ctx.meta[AS_JSON]:
                raise
            of = error.ctx if isinstance(error, click.UsageError) else None
            then = [] if of is None else [f"{of.command_path} --help"]
            fail(Exit(error.exit_code), error.format_message(), then=then)
