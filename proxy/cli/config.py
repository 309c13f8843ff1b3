"""`penstock config`: what is set, where it was set, and a file to set it in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.config.knobs import MOUNTED, Knob, knobs
from proxy.config.load import Loaded
from proxy.config.reference import default_of, reference, spelled
from proxy.config.reload import value_of

from .admin import ask, node_asked, node_flags
from .codes import Exit
from .configured import configuration_or_exit
from .flags import file_flag, json_flag, loaded
from .talk import fail, put, put_json, say


@click.group()
def config() -> None:
    """Show the settings in force, write a file of all of them, or have a node read its own anew.

    \b
    Examples:
      penstock config show --origin
      penstock config show --json | jq .store
      penstock config init penstock.toml
      penstock config reload --dry-run
    """


@config.command(
    help="""Print every setting as file and environment make it.

    \b
    Examples:
      penstock config show
      penstock config show --origin
      PENSTOCK_SERVER__WORKERS=4 penstock config show --origin --config /etc/penstock.toml
    """
)
@file_flag
@click.option("--origin", "with_origins", is_flag=True, help="Say where each value comes from.")
@json_flag
def show(config_file: Path | None, with_origins: bool, as_json: bool) -> None:
    configuration_or_exit(config_file, {})
    found = loaded(config_file, {})
    if as_json:
        put_json(_document(found, with_origins))
    elif with_origins:
        _table(found)
    else:
        put(reference(found.config, comments=False))


@config.command(
    help="""Write a commented file with every setting at its default (to standard output without PATH).

    \b
    Examples:
      penstock config init
      penstock config init /etc/penstock.toml
      penstock config init --json | jq '.[] | select(.reload) | .name'

    Exit codes: 0 ok, 1 it cannot be written there, 5 the file exists.
    """
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@json_flag
def init(path: Path | None, as_json: bool) -> None:
    if path is None:
        if as_json:
            put_json([_explained(knob) for knob in knobs().values()])
        else:
            put(reference())
        return
    try:
        # Exclusively: a file that took somebody an hour must not be lost to a slip.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        fail(Exit.CONFLICT, f"{path} exists and is left as it is", then=[f"penstock config init {path}.new"])
    except OSError as error:
        fail(Exit.FAILURE, f"cannot write {path}", [error.strerror or str(error)])
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(reference())
    if as_json:
        put_json({"written": str(path)})
    say(f"written: {path}; start with: penstock serve --config {path}")


@config.command(
    help="""Have a running node read its configuration anew, and say what changed and what needs a restart.

    \b
    Examples:
      penstock config reload --dry-run
      penstock config reload

    It is what SIGHUP does: settings that may change in flight do, the access log is reopened.
    Exit codes: 0 done, 1 the new configuration has mistakes (the running one stays), 4 the node does not answer.
    """
)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@node_flags
def reload(dry_run: bool, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    asked = node_asked(config_file, admin)
    found = ask(asked, "POST", "/-/api/config/reload", {"dry_run": dry_run}, then=["penstock check"])
    if as_json:
        put_json(found)
    for change in found["taken"]:
        would = "would change" if dry_run else "changed"
        say(f"{would}: {change['name']}: {change['before']} -> {change['after']}", "green")
    for change in found["waiting"]:
        say(f"needs a restart: {change['name']}: {change['before']} -> {change['after']}", "yellow")
    if not found["taken"] and not found["waiting"]:
        say("nothing changed")


def _explained(knob: Knob) -> dict[str, Any]:
    return {
        "name": knob.name,
        "description": knob.description,
        "default": default_of(knob),
        "variable": knob.variable,
        "reload": knob.reload,
    }


def _document(found: Loaded, with_origins: bool) -> dict[str, dict[str, Any]]:
    values = found.config.model_dump(mode="json")
    values |= {f"{MOUNTED}.{one['name']}": one for one in values.pop("mounted")}
    if not with_origins:
        return values
    return {
        section: {key: {"value": value, "origin": found.origins[f"{section}.{key}"]} for key, value in table.items()}
        for section, table in values.items()
    }


def _table(found: Loaded) -> None:
    table = Table("setting", "value", "origin", box=None, pad_edge=False)
    for name, origin in found.origins.items():
        style = "dim" if origin == "default" else ""
        table.add_row(Text(name), Text(spelled(value_of(found.config, name))), Text(origin), style=style)
    console = Console(highlight=False)
    # Into a pipe go whole lines, as wide as they are: a cut path is of no use to grep.
    (console if console.is_terminal else Console(highlight=False, width=1000)).print(table)
