"""The configuration of this run: defaults < file < environment < flags; every mistake at once, every origin kept."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from proxy.core.errors import ConfigError

from .knobs import MOUNTED, Knob, knobs, mounted_at, mounted_knobs, sections
from .schema import Config
from .sources import CONFIG_VARIABLE, Given, Source, read_environment, read_file, read_flags

_LOGIN: Final = re.compile(r"//[^@/\s]*@")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration. `origins` has every knob: `default`, `file PATH:LINE`, `env NAME` or `flag --x`."""

    config: Config
    origins: dict[str, str]


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> Loaded:
    """Read all sources; `file` defaults to $PENSTOCK_CONFIG, `environment` to this process' own.

    `flags` is `{"section.key": ("--flag", value)}`. Raises ConfigError with every mistake of every source.
    """
    environment = os.environ if environment is None else environment
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    sources = [
        read_file(file) if file is not None else Source(),
        read_environment(environment),
        read_flags(flags or {}),
    ]
    return settle(sources)


def settle(sources: list[Source]) -> Loaded:
    """The configuration that `sources` (weakest first) make together. Pure. Raises ConfigError."""
    mistakes = [mistake for source in sources for mistake in source.mistakes]
    given = [item for source in sources for item in source.given]
    names = dict.fromkeys(name for item in given if (name := mounted_at(item.name)) is not None)
    table = knobs() | {name: knob for one in names for name, knob in mounted_knobs(one).items()}
    mistakes += [_unknown(item, table) for item in given if item.name not in table]
    mistakes += [wrong for item in given if (wrong := _renamed(item)) is not None]
    chosen = {item.name: item for item in given if item.name in table}
    try:
        config = Config.model_validate(_nested(chosen))
    except ValidationError as error:
        mistakes += _described(error, chosen, table)
    else:
        mistakes += _contradictions(config, chosen)
    if mistakes:
        raise ConfigError(mistakes)
    return Loaded(config, {name: chosen[name].place if name in chosen else "default" for name in table})


def _nested(chosen: dict[str, Given]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for name, item in chosen.items():
        section, _, key = name.rpartition(".")
        tables.setdefault(section, {})[key] = item.value
    mounted = {section: tables.pop(section) for section in list(tables) if section.startswith(f"{MOUNTED}.")}
    if mounted:
        tables["mounted"] = [{**table, "name": section.partition(".")[2]} for section, table in mounted.items()]
    return tables


def _renamed(item: Given) -> str | None:
    """What is wrong with a variable that gives a mounted origin another name than its own has."""
    mounted = mounted_at(item.name)
    if mounted is None or item.name != f"{MOUNTED}.{mounted}.name" or item.value == mounted:
        return None
    return f"{item.name} = {_shown(item.value)} ({item.place}): it is called {mounted} there; leave the name out"


def _unknown(item: Given, table: Mapping[str, Knob]) -> str:
    kind, _, where = item.place.partition(" ")
    as_written = where if kind == "env" else item.name
    near = _nearest(item.name)
    if near is None:
        return f"{as_written} ({item.place}): there is no such key; list them all with: penstock config init"
    meant = table[near].variable if kind == "env" and near in table else near
    return f"{as_written} ({item.place}): there is no such key; did you mean {meant}?"


def _nearest(name: str) -> str | None:
    if (mounted := mounted_at(name)) is not None:
        inside = _close(name.split(".", 2)[2], [knob.key for knob in mounted_knobs(mounted).values()])
        return None if inside is None else f"{MOUNTED}.{mounted}.{inside}"
    section, dot, key = name.partition(".")
    if not dot:
        # A key outside every section, or a section misspelt altogether.
        if name in sections():
            return f"[{name}]"
        under = [knob for knob in knobs() if knob.partition(".")[2] == name]
        return under[0] if under else _close(name, [*knobs(), *(knob.replace(".", "_") for knob in knobs())])
    if section in sections():
        inside = _close(key, [knob.key for knob in knobs().values() if knob.section == section])
        if inside is not None:
            return f"{section}.{inside}"
    elsewhere = [knob for knob in knobs() if knob.partition(".")[2] == key]
    if len(elsewhere) == 1:
        return elsewhere[0]
    # In a section that exists, the section's name alone would make all its keys look near.
    return None if section in sections() else _close(name, list(knobs()))


def _close(word: str, possible: list[str]) -> str | None:
    found = difflib.get_close_matches(word, possible, n=1, cutoff=0.6)
    if not found:
        return None
    return next((knob for knob in knobs() if knob.replace(".", "_") == found[0]), found[0])


def _described(error: ValidationError, chosen: dict[str, Given], table: Mapping[str, Knob]) -> list[str]:
    """One sentence for each thing pydantic found: which value, from where, why not, what would be right."""
    found = error.errors(include_url=False)
    inner = {tuple(item["loc"])[:2] for item in found if len(item["loc"]) > 2}
    mounted = list(dict.fromkeys(name.rpartition(".")[0] for name in chosen if mounted_at(name) is not None))
    return [
        _sentence(_located(tuple(item["loc"]), mounted), item["msg"], chosen, table)
        for item in found
        # A list whose items are wrong is also reported as too short: the items tell enough.
        if not (item["type"] == "too_short" and tuple(item["loc"]) in inner)
    ]


def _located(loc: tuple[int | str, ...], mounted: list[str]) -> tuple[int | str, ...]:
    """Where pydantic found it, as section, key and what is inside; `mounted` are the sections of mounted origins."""
    match loc:
        case ("mounted", int(number), *rest):
            return mounted[number], *rest
        case _:
            return loc


def _sentence(loc: tuple[int | str, ...], message: str, chosen: dict[str, Given], table: Mapping[str, Knob]) -> str:
    reason = _LOGIN.sub("//***@", message.removeprefix("Value error, ").replace("Input should be", "should be"))
    name = ".".join(str(part) for part in loc[:2])
    item = chosen.get(name)
    if item is None:
        # Of a section, or of a key that is missing in one.
        places = [given.place for other, given in chosen.items() if other.startswith(f"{loc[0]}.")]
        return f"{name} ({', '.join(places)}): {reason}" if places else f"{name}: {reason}"
    inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[2:])
    default = table[name].default
    remedy = "" if default is None or table[name].many else f" (the default is {default})"
    return f"{name}{inner} = {_shown(_part(item.value, loc[2:]))} ({item.place}): {reason}{remedy}"


def _part(value: Any, inner: tuple[int | str, ...]) -> Any:
    """The part of `value` that is wrong, as far down as it was given in parts."""
    for key in inner:
        try:
            value = value[key]
        except (TypeError, KeyError, IndexError):
            break
    return value


def _shown(value: Any) -> str:
    # Somebody wrote a login where none may be; it must not go on into a log.
    text = _LOGIN.sub("//***@", repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _contradictions(config: Config, chosen: dict[str, Given]) -> list[str]:
    """What is wrong between values that are right by themselves."""
    found = []
    server = config.server
    if server.listen.overlaps(server.admin):
        places = [chosen[name].place for name in ("server.listen", "server.admin") if name in chosen]
        both = f"both are {server.listen}" if server.listen == server.admin else f"{server.listen} and {server.admin}"
        found.append(
            f"server.listen and server.admin ({', '.join(places)}): {both}; "
            "clients and the admin API never share a port, give one of them another"
        )
    if not server.admin.is_loopback and config.admin.token_file is None:
        place = chosen["server.admin"].place if "server.admin" in chosen else "default"
        found.append(
            f"server.admin ({place}): {server.admin} can be reached from the network, so admin.token_file must name a "
            "file with a token, made with: (umask 077; openssl rand -hex 32 > FILE); or listen on 127.0.0.1"
        )
    found += _mounted_wrongly(config, chosen)
    paths = [str(disk.path.expanduser().absolute()) for disk in config.store.disks]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        place = chosen["store.disks"].place if "store.disks" in chosen else "default"
        found.append(f"store.disks ({place}): {path} is named twice; name each disk once")
    return found


def _mounted_wrongly(config: Config, chosen: dict[str, Given]) -> list[str]:
    """What a write makes void is remembered per origin: two of them with one address would not hear of each other."""
    urls = [config.origin.url] if config.origin.kind == "http" else []
    found = []
    for one in config.mounted:
        place = chosen[f"{MOUNTED}.{one.name}.url"].place
        if one.url in urls:
            found.append(f"{MOUNTED}.{one.name}.url ({place}): {one.url} has a place already; mount each address once")
        urls.append(one.url)
    return found
