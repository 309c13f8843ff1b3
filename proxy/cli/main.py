"""The command `penstock`."""

from __future__ import annotations

from typing import Final

import click

from proxy.service.system import keep_standard_descriptors

from .bench import bench
from .check import check
from .cluster import cluster
from .completion import completion
from .config import config
from .doctor import doctor
from .drain import drain
from .inventory import du, info, ls
from .jobs import jobs
from .log import log
from .pins import pin, pins, unpin
from .proof import scrub, verify
from .removal import prune, purge, rm
from .responses import explain
from .serve import serve
from .spoken import Spoken
from .stats import stats, top
from .transfer import export, import_
from .upgrade import upgrade
from .version import version
from .warm import warm


@click.group(
    cls=Spoken,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="""A mirror of the Hugging Face Hub that caches what it delivers and streams while it fills.

    \b
    Examples:
      penstock serve                                    run the mirror on 127.0.0.1:8080
      export HF_ENDPOINT=http://127.0.0.1:8080          let a client use it
      penstock check --config /etc/penstock.toml        find every mistake before a restart
      penstock doctor --endpoint http://mirror:8080     does anything lead clients past it?
      penstock config init penstock.toml                write all settings to a file
      penstock warm acme/tiny                           fetch a repo before anybody asks for it
      penstock ls                                       what is here, and how much of it
      penstock pin acme/tiny                            never evict it
      penstock upgrade                                  let what is installed now take over, cutting nobody
      penstock cluster status                           the nodes of a fleet, as this one sees them

    \b
    Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 unhealthy, 5 conflict.
    With --json data is JSON on standard output, and an error is one JSON object on standard error.
    Every setting is a flag, a variable (PENSTOCK_SECTION__KEY) or a line of a TOML file, the flag being the strongest.
    """,
)
def main() -> None:
    keep_standard_descriptors()


COMMANDS: Final = (
    *(serve, check, doctor, config, version),
    *(explain, log, stats, top, ls, du, info, warm, jobs),
    *(pin, unpin, pins, rm, purge, prune),
    *(verify, scrub, export, import_),
    *(cluster, drain, upgrade, completion, bench),
)

for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="penstock")
