"""`penstock cluster`: the fleet as a running node sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.core.blob import BlobKey
from proxy.core.sizes import format_size

from .admin import ask, node_asked
from .codes import Exit
from .flags import file_flag, json_flag
from .talk import fail, put_json, say

_PATH = "/-/api/cluster"


@click.group()
def cluster() -> None:
    """Show the nodes of a fleet, who owns what, or let a node step back.

    \b
    Examples:
      penstock cluster status
      penstock cluster placement sha256:4b0c… --slices 16
      penstock cluster drain && systemctl stop penstock
    """


def _admin_flag(command: Any) -> Any:
    return click.option("--admin", metavar="HOST:PORT", help="The node's admin port. [default: server.admin]")(command)


@cluster.command(
    help="""Show the members of the fleet as the node sees them.

    \b
    Examples:
      penstock cluster status
      penstock cluster status --admin 127.0.0.1:8081 --json | jq '.members[].name'

    Exit codes: 0 all is well, 3 the node is in no cluster, 4 it does not answer, Redis is away, a member is ejected,
    or one fell silent in the last five minutes and is not back.
    """
)
@file_flag
@_admin_flag
@json_flag
def status(config_file: Path | None, admin: str | None, as_json: bool) -> None:
    found = ask(node_asked(config_file, admin), "GET", _PATH)
    if as_json:
        put_json(found)
    else:
        _tell(found)
    if troubles := _troubles(found):
        for trouble in troubles:
            say(f"trouble: {trouble}", "yellow")
        raise click.exceptions.Exit(int(Exit.UNHEALTHY))


@cluster.command(
    help="""Let the node step back: the others take its slices over, and it goes on serving until it is stopped.

    \b
    Examples:
      penstock cluster drain
      penstock cluster drain --admin 127.0.0.1:8081

    A restart brings it back. Exit codes: 0 done (or it was so already), 3 the node is in no cluster, 4 it does not
    answer, 5 no other node is up.
    """
)
@file_flag
@_admin_flag
@json_flag
def drain(config_file: Path | None, admin: str | None, as_json: bool) -> None:
    found = ask(node_asked(config_file, admin), "POST", f"{_PATH}/drain")
    if as_json:
        put_json(found)
    say(f"{found['node']} owns no slices any more; stop it with SIGTERM", "green")
    if found["redis"] == "none":
        say("without Redis the other nodes hear of it when they next ask it for a slice", "yellow")


@cluster.command(
    help="""Show which nodes own the slices (of 64 MiB) of a blob, and who comes next.

    \b
    Examples:
      penstock cluster placement sha256:4b0c1a… --slices 16
      penstock cluster placement 4b0c1a… --json | jq '.slices[0].owner'

    KEY is the blob's key; bare hexadecimal digits are a sha256, as the Hub shows it for a file.
    Exit codes: 0 ok, 2 KEY is no key, 3 the node is in no cluster, 4 it does not answer.
    """
)
@click.argument("key")
@click.option("--slices", metavar="N", type=click.IntRange(1, 10_000), default=1, show_default=True, help="How many.")
@file_flag
@_admin_flag
@json_flag
def placement(key: str, slices: int, config_file: Path | None, admin: str | None, as_json: bool) -> None:
    try:
        parsed = BlobKey.parse(key if ":" in key else f"sha256:{key}")
    except ValueError:
        fail(Exit.USAGE, f"{key!r} is no key of a blob", ["write it like sha256: and 64 hexadecimal digits"])
    path = f"{_PATH}/placement?key={quote(str(parsed), safe='')}&slices={slices}"
    found = ask(node_asked(config_file, admin), "GET", path)
    if as_json:
        put_json(found)
        return
    table = Table("slice", "owner", "then", box=None, pad_edge=False)
    for one in found["slices"]:
        table.add_row(str(one["slice"]), Text(one["owner"]), Text(" ".join(one["next"])))
    _print(table)


def _tell(found: dict[str, Any]) -> None:
    table = Table("node", "state", "share", "weight", "address", box=None, pad_edge=False)
    for one in found["members"]:
        state = "ejected" if one["ejected"] else one["state"]
        name = f"{one['name']} (this node)" if one["name"] == found["node"] else one["name"]
        style = "" if state == "up" else "yellow"
        table.add_row(
            Text(name), Text(state), f"{one['share']:.1%}", format_size(one["weight"]), Text(one["url"]), style=style
        )
    for one in found.get("missed", []):
        table.add_row(Text(one["name"]), Text("gone"), "", format_size(one["weight"]), Text(one["url"]), style="yellow")
    _print(table)
    say(f"view {found['view']}, Redis: {found['redis']}")


def _troubles(found: dict[str, Any]) -> list[str]:
    troubles = [f"{one['name']} is ejected: it failed this node lately" for one in found["members"] if one["ejected"]]
    troubles += [
        f"{one['name']} stands aside: most of the others cannot reach it"
        for one in found["members"]
        if one["state"] == "aside"
    ]
    troubles += [f"{one['name']} fell silent without a goodbye" for one in found.get("missed", [])]
    if found["redis"] == "away":
        troubles.append("Redis is away; the last view and the listed peers count")
    return troubles


def _print(table: Table) -> None:
    console = Console(highlight=False)
    # Into a pipe go whole lines, as wide as they are.
    (console if console.is_terminal else Console(highlight=False, width=1000)).print(table)
