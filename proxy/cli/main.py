"""The command `penstock`."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from typing import Final

import click

import proxy
from proxy.service.system import keep_standard_descriptors

from .spoken import Spoken

VERBS: Final = {
    **{verb: verb for verb in ("serve", "check", "doctor", "config", "version", "log", "warm", "jobs", "stats")},
    **{verb: verb for verb in ("cluster", "drain", "upgrade", "completion", "bench")},
    **dict.fromkeys(("ls", "du", "info"), "inventory"),
    **dict.fromkeys(("pin", "pins", "unpin"), "pins"),
    **dict.fromkeys(("rm", "purge", "prune"), "removal"),
    **dict.fromkeys(("verify", "scrub"), "proof"),
    **dict.fromkeys(("export", "import"), "transfer"),
    "explain": "responses",
    "top": "stats",
}
"""Each verb, and the module of this room that has it."""


class Verbs(Spoken):
    """A verb's module is read when the verb is asked for: one that asks a running node starts in half the time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"proxy.cli.{VERBS[cmd_name]}")
        command = getattr(module, f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=Verbs,
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
@click.version_option(proxy.__version__, prog_name="penstock", message="%(prog)s %(version)s")
def main() -> None:
    keep_standard_descriptors()


if __name__ == "__main__":
    main(prog_name="penstock")
