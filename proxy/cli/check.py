"""`penstock check`: would it serve?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from proxy.service.folders import disks_looked_at
from proxy.service.preflight import hints, obstacles

from .codes import Exit
from .configured import configuration_or_exit
from .flags import configuration_flags, json_flag
from .talk import fail, hint, put_json, say


@click.command(
    help="""Look for every mistake in the configuration, and for what stands in its way on this machine.

    \b
    Examples:
      penstock check
      penstock check --config /etc/penstock.toml
      penstock check --disk /data/a=2TB && systemctl reload penstock
      penstock check --json | jq .hints

    Nothing is started or made. Exit code 0 when it would serve, else 1.
    """
)
@configuration_flags
@json_flag
def check(config_file: Path | None, as_json: bool, **arguments: Any) -> None:
    config = configuration_or_exit(config_file, arguments, Exit.FAILURE)
    looks = disks_looked_at(config.store.disks)
    if found := obstacles(config, looks):
        fail(Exit.FAILURE, "the configuration is right, but this machine cannot serve it", found)
    found = hints(config, looks)
    if as_json:
        put_json({"right": True, "hints": found})
    for text in found:
        hint(text)
    say("the configuration is right", "green")
