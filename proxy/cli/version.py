"""`penstock version`: what is running here."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Final

import click

import proxy

from .flags import json_flag
from .talk import put, put_json

_LIBRARIES: Final = ("aiohttp", "uvloop", "orjson", "pydantic", "prometheus-client", "xxhash")


@click.command(
    help="""Print the version, with --json also those of Python and of the libraries (for a bug report).

    \b
    Examples:
      penstock version
      penstock version --json
    """
)
@json_flag
def version(as_json: bool) -> None:
    if not as_json:
        put(f"penstock {proxy.__version__}")
        return
    libraries = {name: version_of(name) for name in _LIBRARIES}
    document = {
        "penstock": proxy.__version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "libraries": libraries,
    }
    put_json(document)
