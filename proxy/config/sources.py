"""Where values come from: a TOML file, the environment, flags. Each becomes a flat table; values know their place."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .knobs import MOUNTED, PREFIX, knobs
from .origins import NAME_RULE, is_mount_name

CONFIG_VARIABLE: Final = "PENSTOCK_CONFIG"
"""Names the configuration file; the one PENSTOCK_ variable that is no knob."""

# Kubernetes gives every pod variables of the services around it. A service called `penstock` must not be taken for a
# misspelt knob: PENSTOCK_SERVICE_HOST, PENSTOCK_PORT_8080_TCP_ADDR, PENSTOCK_ADMIN_PORT, …
_OF_KUBERNETES: Final = re.compile(r"PENSTOCK_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
_BOTH: Final = (
    "[origin] and [[origin]] do not go together; write [[origin]] for each, the one at the root without a name"
)
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
        why = _BOTH if {"[origin]", "[[origin]]"} <= {line.strip() for line in text.splitlines()} else str(error)
        return Source(mistakes=(f"{path}: is not TOML: {why}",))
    lines = _lines_of_keys(text)

    def place(written: str) -> str:
        return f"file {path}:{lines[written]}" if written in lines else f"file {path}"

    named, mistakes = _origins(tables, place)
    given = [Given(name, value, place(name)) for name, value in _flat(tables)]
    return Source((*given, *named), tuple(mistakes))


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


def _origins(tables: dict[str, Any], place: Callable[[str], str]) -> tuple[list[Given], list[str]]:
    """Take the list `[[origin]]` out of `tables`: the values of each, the nameless one's as those of the section."""
    if not isinstance(tables.get(MOUNTED), list):
        return [], []
    given, mistakes, names = [], [], set()
    for number, table in enumerate(tables.pop(MOUNTED)):
        written = f"{MOUNTED}[{number}]"
        name = table.get("name", "") if isinstance(table, dict) else None
        section = f"{MOUNTED}.{name}" if name else MOUNTED
        if name != "" and not is_mount_name(name):
            mistakes.append(f"{written}.name = {name!r:.80} ({place(written)}): {NAME_RULE}")
        elif name in names:
            twice = f"there is one called {name} already" if name else "only one, the one at the root, has no name"
            mistakes.append(f"{written} ({place(written)}): {twice}; give it another name")
        else:
            given += [Given(f"{section}.{key}", value, place(f"{written}.{key}")) for key, value in table.items()]
            names.add(name)
    return given, mistakes


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
    section, origins = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = header[1].replace('"', "") + "."
            if section == f"{MOUNTED}." and line.lstrip().startswith("[["):
                section, origins = f"{MOUNTED}[{origins}].", origins + 1
            lines.setdefault(section.removesuffix("."), number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(section + assignment[1].replace('"', ""), number)
    return lines


def _knob_name(variable: str) -> str:
    section, *keys = variable.removeprefix(PREFIX).lower().split("__")
    if section == MOUNTED and len(keys) == 2 and is_mount_name(keys[0].replace("_", "-")):
        return f"{MOUNTED}.{keys[0].replace('_', '-')}.{keys[1]}"
    return ".".join((section, "__".join(keys))) if keys else section


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
