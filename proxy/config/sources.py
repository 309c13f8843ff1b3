"""Where values come from: a TOML file, the environment, flags. Each becomes a flat table; values know their place."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .knobs import PREFIX, knobs

CONFIG_VARIABLE: Final = "PENSTOCK_CONFIG"
"""Names the configuration file; the one PENSTOCK_ variable that is no knob."""

# Kubernetes gives every pod variables of the services around it. A service called `penstock` must not be taken for a
# misspelt knob: PENSTOCK_SERVICE_HOST, PENSTOCK_PORT_8080_TCP_ADDR, PENSTOCK_ADMIN_PORT, …
_OF_KUBERNETES: Final = re.compile(r"PENSTOCK_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
_HEADER: Final = re.compile(r"\s*\[\[?\s*([\w.\- \"]+?)\s*\]\]?")
_ASSIGNMENT: Final = re.compile(r"\s*([\w.\-\"]+)\s*=")


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody gave. `place` says where, for people: `file x.toml:3`, `env PENSTOCK_…`, `flag --workers`."""

    name: str
    value: Any
    place: str


@dataclass(frozen=True, slots=True)
class Source:
    """What one source gives, and what is wrong with the source itself."""

    given: tuple[Given, ...] = ()
    mistakes: tuple[str, ...] = ()


def read_file(path: Path) -> Source:
    """The keys of a TOML file; keys outside a section are given under their bare name."""
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except FileNotFoundError:
        return Source(mistakes=(f"{path}: there is no such file; write one with: penstock config init {path}",))
    except (OSError, UnicodeDecodeError) as error:
        return Source(mistakes=(f"{path}: cannot be read: {error}",))
    except tomllib.TOMLDecodeError as error:
        return Source(mistakes=(f"{path}: is not TOML: {error}",))
    lines = _lines_of_keys(text)
    return Source(
        tuple(
            Given(name, value, f"file {path}:{lines[name]}" if name in lines else f"file {path}")
            for name, value in _flat(tables)
        )
    )


def read_environment(environment: Mapping[str, str]) -> Source:
    """The variables that begin with PENSTOCK_; lists are separated by commas or written as JSON."""
    return Source(
        tuple(
            Given(_knob_name(variable), _from_text(_knob_name(variable), text), f"env {variable}")
            for variable, text in sorted(environment.items())
            if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE and not _OF_KUBERNETES.fullmatch(variable)
        )
    )


def read_flags(flags: Mapping[str, tuple[str, Any]]) -> Source:
    """Flags as `{"section.key": ("--flag", value)}`; values as typed, lists as tuples of strings."""
    return Source(
        tuple(
            Given(name, _from_text(name, value) if isinstance(value, str) else value, f"flag {flag}")
            for name, (flag, value) in flags.items()
        )
    )


def _flat(tables: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, table in tables.items():
        if not isinstance(table, dict):
            yield section, table
            continue
        for key, value in table.items():
            yield f"{section}.{key}", value


def _lines_of_keys(text: str) -> dict[str, int]:
    """`section.key` → line. For messages only: a line inside a multi-line string may be taken for a key."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = header[1].replace('"', "") + "."
            lines.setdefault(section.removesuffix("."), number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(section + assignment[1].replace('"', ""), number)
    return lines


def _knob_name(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower().replace("__", ".", 1)


def _from_text(name: str, text: str) -> Any:
    """What a variable or a flag can only spell as text: lists, and the empty word for `not set`."""
    knob = knobs().get(name)
    if knob is None:
        return text
    if knob.nullable and text == "":
        return None
    if not knob.many:
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return [item.strip() for item in text.split(",") if item.strip()]
