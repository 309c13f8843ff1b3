"""The configuration as a file: every section and key with its reason, at its default or as it is in force."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from .cluster import Peer
from .knobs import MOUNTED, Knob, knobs, mounted_knobs, sections
from .reload import value_of
from .schema import Address, Config, Disk

_HEAD: Final = """\
# Penstock: every setting, its reason and its default.
#
# Take the `#` from the front of a setting to change it. The variable PENSTOCK_SECTION__KEY and the flags of
# `penstock serve` set the same: a flag wins over a variable, a variable over this file, this file over the default.
# Sizes are written like 500GiB or 1.5TB, durations like 250ms, 30s, 5m, 7d.
# Settings marked [reload] are taken over on SIGHUP, the others at the next start.
"""

_BESIDE: Final = """\
# More HTTP servers beside it, each cached at its own address, http://this-node/o/NAME/…: write [[origin]] in place of
# [origin] above, and one more for each, with a name (lower-case letters, digits, single dashes), its url, and
# connect_timeout, read_timeout, connections_per_host, retries as above. As variables: PENSTOCK_ORIGIN__NAME__URL.
#
#   [[origin]]
#   name = "pypi"
#   url = "https://pypi.org"
"""


def reference(config: Config | None = None, *, comments: bool = True) -> str:
    """The TOML text of `config`, or of the defaults, each line commented out; `comments` says whether with reasons."""
    parts = [_HEAD] if comments else []
    for section, purpose in sections().items():
        parts.append("\n".join(_section(section, purpose, config, comments=comments)))
        if section == MOUNTED:
            parts += [_BESIDE] if comments else []
            parts += ["\n".join(_mounted(one.name, config)) for one in (config.mounted if config else ())]
    return "\n".join(parts)


def _section(section: str, purpose: str, config: Config | None, *, comments: bool) -> list[str]:
    lines = [f"# {purpose}"] if comments else []
    # In one file they are all [[origin]], or there is one alone.
    is_listed = section == MOUNTED and config is not None and config.mounted
    lines.append(f"[[{section}]]" if is_listed else f"[{section}]")
    for knob in knobs().values():
        if knob.section == section:
            lines += _lines(knob, config, comments=comments)
    return [*lines, ""]


def _mounted(name: str, config: Config | None) -> list[str]:
    lines = [f"[[{MOUNTED}]]"]
    for knob in mounted_knobs(name).values():
        lines += _lines(knob, config, comments=False)
    return [*lines, ""]


def _lines(knob: Knob, config: Config | None, *, comments: bool) -> list[str]:
    reason = knob.description + (" [reload]" if knob.reload else "")
    lines = [f"# {line}" for line in textwrap.wrap(reason, 110)] if comments else []
    value = knob.default if config is None else value_of(config, knob.name)
    if value is None:
        lines.append(f"#{knob.key} = (not set)")
    elif config is None:
        lines.append(f"#{knob.key} = {default_of(knob)}")
    else:
        lines.append(f"{knob.key} = {spelled(value)}")
    return [*lines, ""] if comments else lines


def default_of(knob: Knob) -> str:
    """The default of `knob` as TOML spells it."""
    # The default disk depends on who asks; the reference must not.
    return '["~/.cache/penstock/disk=50GiB"]' if knob.name == "store.disks" else spelled(knob.default)


def spelled(value: Any) -> str:
    """`value` as TOML spells it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(int(value)) if value == int(value) else repr(value)
        case tuple() | list():
            return f"[{', '.join(spelled(item) for item in value)}]"
        case Disk():
            return _quoted(str(value.path) if value.size is None else f"{value.path}={value.size}")
        case Address() | Peer() | str() | Path():
            return _quoted(str(value))
        case BaseModel():
            raise TypeError(f"no spelling for {type(value).__name__}")
        case _:
            return "(not set)" if value is None else _quoted(str(value))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
