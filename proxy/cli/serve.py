"""`penstock serve`: run the mirror."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import click
import orjson

import proxy
from proxy.config.load import Loaded
from proxy.config.schema import Config
from proxy.core.clock import SystemClock
from proxy.core.errors import PenstockError
from proxy.core.sizes import format_size
from proxy.service.folders import disks_looked_at
from proxy.service.launch import launch
from proxy.service.named import ASSEMBLY, named_assembly
from proxy.service.preflight import hints, obstacles
from proxy.service.ready import Standing
from proxy.service.renewal import fixed
from proxy.service.run import Run
from proxy.service.sockets import PortRefused, PortTaken
from proxy.service.system import keep_from_others
from proxy.telemetry.events import event_log

from .codes import Exit
from .configured import configuration_or_exit
from .flags import configuration_flags, loaded
from .talk import fail, hint, put, say


@click.command(
    help="""Run the mirror until it is told to stop.

    \b
    Examples:
      penstock serve
      penstock serve --listen 0.0.0.0:8080 --disk /data/a=2TB --disk /data/b=2TB --workers 4
      penstock serve --config /etc/penstock.toml --log-form json
      penstock serve --origin https://data.example.org --origin-kind http

    Then, on a client:

    \b
      export HF_ENDPOINT=http://127.0.0.1:8080
      hf download sentence-transformers/all-MiniLM-L6-v2

    SIGTERM (or Ctrl-C) stops politely, a second one at once; SIGHUP reloads the settings that may change in flight and
    reopens the access log; SIGUSR2 puts the program that is installed now into the place of the running one, without a
    refused or cut connection (several workers, or server.supervised).
    """
)
@configuration_flags
@click.option("--assembly", default=ASSEMBLY, hidden=True)
@click.option("--rehearse", is_flag=True, hidden=True)
def serve(config_file: Path | None, assembly: str, rehearse: bool, **arguments: Any) -> None:
    def read() -> Loaded:
        return loaded(config_file, arguments)

    keep_from_others()
    config = configuration_or_exit(config_file, arguments)
    looks = disks_looked_at(config.store.disks)
    if found := obstacles(config, looks):
        fail(Exit.FAILURE, "this machine cannot serve that configuration", found, then=["penstock check"])
    if rehearse:
        named_assembly(assembly)
        put(orjson.dumps(fixed(config)).decode())
        return
    for text in hints(config, looks):
        hint(text)
    words = (sys.executable, "-m", "proxy.cli.main", *sys.argv[1:])
    run = Run(config, read, lambda standing: announce(config, standing), SystemClock(), words)
    with event_log(config.log.level, config.log.form):
        _run(run, assembly)


def _run(run: Run, assembly: str) -> None:
    try:
        launch(run, assembly)
    except PortTaken as error:
        another = f"penstock serve {error.flag} {error.address.host}:0"
        fail(
            Exit.CONFLICT,
            str(error),
            ["perhaps another penstock: two cannot share a port"],
            then=[f"ss -ltnp 'sport = :{error.address.port}'      (who has it)", f"{another}      (any free port)"],
        )
    except PortRefused as error:
        fail(Exit.FAILURE, str(error), then=[f"penstock serve {error.flag} 127.0.0.1:0"])
    except (PenstockError, OSError) as error:
        fail(Exit.FAILURE, "the node cannot start", [str(error)], then=["penstock check"])


def announce(config: Config, standing: Standing) -> None:
    """Tell the person at the terminal where everything is."""
    say(f"penstock {proxy.__version__} serves", "bold green")
    say(f"  clients   {_scheme(config)}://{standing.data}")
    say(f"  admin     http://{standing.admin}/metrics")
    say(f"  origin    {config.origin.url}")
    for one in config.mounted:
        say(f"  /o/{one.name}/  {one.url}")
    for disk in config.store.disks:
        say(f"  disk      {disk.path} ({'sized by what is free' if disk.size is None else format_size(disk.size)})")
    if standing.workers:
        say(f"  workers   {len(standing.workers)}")
    say()
    if config.origin.kind == "hub":
        say(f"  export HF_ENDPOINT={endpoint(config, standing)}", "bold")
        say()


def endpoint(config: Config, standing: Standing) -> str:
    """What a client sets HF_ENDPOINT to."""
    if config.server.external_url is not None:
        return config.server.external_url
    address = standing.data
    if address.host in ("0.0.0.0", "::"):
        return f"{_scheme(config)}://{socket.gethostname()}:{address.port}"
    return f"{_scheme(config)}://{address}"


def _scheme(config: Config) -> str:
    return "http" if config.server.tls_certificate is None else "https"
