"""The flags that are knobs, as a table; their help, default and variable come from the schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from proxy.config.knobs import knobs
from proxy.config.load import Loaded, load

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Flag:
    """`--word METAVAR` sets the knob `name`; one without a metavar says yes."""

    word: str
    name: str
    metavar: str | None

    @property
    def argument(self) -> str:
        """What click calls it."""
        return self.name.replace(".", "__")


FLAGS: Final = (
    Flag("--origin", "origin.url", "URL"),
    Flag("--origin-kind", "origin.kind", "KIND"),
    Flag("--listen", "server.listen", "HOST:PORT"),
    Flag("--admin", "server.admin", "HOST:PORT"),
    Flag("--admin-token-file", "admin.token_file", "PATH"),
    Flag("--disk", "store.disks", "DIR[=SIZE]"),
    Flag("--workers", "server.workers", "N"),
    Flag("--external-url", "server.external_url", "URL"),
    Flag("--ready-file", "server.ready_file", "PATH"),
    Flag("--tls-certificate", "server.tls_certificate", "PATH"),
    Flag("--tls-key", "server.tls_key", "PATH"),
    Flag("--state", "store.state", "DIR"),
    Flag("--drain-delay", "server.drain_delay", "DURATION"),
    Flag("--drain-timeout", "server.drain_timeout", "DURATION"),
    Flag("--origin-redirect-host", "origin.redirect_hosts", "HOST"),
    Flag("--origin-allow-private", "origin.allow_private", None),
    Flag("--node", "cluster.node", "NAME"),
    Flag("--advertise", "cluster.advertise", "URL"),
    Flag("--cluster-secret-file", "cluster.secret_file", "PATH"),
    Flag("--redis", "cluster.redis", "URL"),
    Flag("--peer", "cluster.peers", "URL[=WEIGHT]"),
    Flag("--access-log", "log.access", "PATH"),
    Flag("--log-level", "log.level", "LEVEL"),
    Flag("--log-form", "log.form", "FORM"),
)


def configuration_flags(command: F) -> F:
    """Give `command` --config and every flag of the table; it finds them in its keyword arguments: see `loaded`."""
    for flag in reversed(FLAGS):
        command = _option(flag)(command)
    return file_flag(command)


def file_flag(command: F) -> F:
    """Give `command` --config."""
    # Existence is judged with everything else, so that one run names every mistake.
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="TOML file with any of the settings. [env: PENSTOCK_CONFIG]",
    )(command)


def json_flag(command: F) -> F:
    """Give `command` --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def path_filters(command: F) -> F:
    """Give `command` --include and --exclude: which files of a repo."""
    command = click.option("--exclude", metavar="GLOB", multiple=True, help="No paths that match. Repeatable.")(command)
    return click.option("--include", metavar="GLOB", multiple=True, help="Only paths that match. Repeatable.")(command)


def loaded(config_file: Path | None, arguments: dict[str, Any]) -> Loaded:
    """The configuration of this command line. Raises ConfigError."""
    given = {
        flag.name: (flag.word, arguments[flag.argument])
        for flag in FLAGS
        if arguments.get(flag.argument) not in (None, ())
    }
    return load(file=config_file, flags=given)


def _option(flag: Flag) -> Callable[[F], F]:
    knob = knobs()[flag.name]
    default = "" if knob.default is None or knob.many else f" [default: {knob.default}]"
    if flag.metavar is None:
        return click.option(
            flag.word, flag.argument, is_flag=True, default=None, help=f"{knob.description} [env: {knob.variable}]"
        )
    repeatable = " Repeatable." if knob.many else ""
    return click.option(
        flag.word,
        flag.argument,
        metavar=flag.metavar,
        multiple=knob.many,
        help=f"{knob.description}{repeatable}{default} [env: {knob.variable}]",
    )
