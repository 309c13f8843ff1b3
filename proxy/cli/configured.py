"""The configuration that a verb works with. Verbs that ask a running node need no more of the product than this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.config.schema import Config
from proxy.core.errors import ConfigError

from .codes import Exit
from .flags import loaded
from .talk import fail


def configuration_or_exit(config_file: Path | None, arguments: dict[str, Any], code: Exit = Exit.USAGE) -> Config:
    """The configuration, or every mistake in it on standard error and out."""
    try:
        return loaded(config_file, arguments).config
    except ConfigError as error:
        count = len(error.mistakes)
        what = "the configuration has a mistake" if count == 1 else f"the configuration has {count} mistakes"
        fail(
            code,
            what,
            error.mistakes,
            then=["penstock config init      (every setting, explained)", "penstock serve --help"],
        )
