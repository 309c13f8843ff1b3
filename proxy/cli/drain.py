"""`penstock drain`: let a node end what it does, and stop."""

from __future__ import annotations

from pathlib import Path

import click

from .admin import ask, node_asked, node_flags
from .talk import put_json, say


@click.command(
    help="""Stop a node politely: it says that it is not ready, closes its port, and ends when its downloads have.

    \b
    Examples:
      penstock drain
      penstock drain --admin 127.0.0.1:8081

    It is what SIGTERM does (server.drain_delay, server.drain_timeout); a job goes on when the node is started again.
    To step back from a fleet and go on serving: penstock cluster drain.
    Exit codes: 0 it stops, 4 no node answers.
    """
)
@node_flags
def drain(config_file: Path | None, admin: str | None, as_json: bool) -> None:
    found = ask(node_asked(config_file, admin), "POST", "/-/api/drain")
    if as_json:
        put_json(found)
    say("the node takes no new connections soon, and ends when its downloads have", "green")
