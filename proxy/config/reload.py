"""What SIGHUP may change: the knobs marked so in the schema; the others wait for a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .knobs import Knob, knobs, mounted_knobs
from .schema import Config


@dataclass(frozen=True, slots=True)
class Change:
    """One knob that is not what it was."""

    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Reload:
    """`config` is the running one with `taken` applied; `waiting` needs a restart."""

    config: Config
    taken: tuple[Change, ...]
    waiting: tuple[Change, ...]


def reloaded(running: Config, wanted: Config) -> Reload:
    """The configuration to go on with when `wanted` was read while `running` is in force."""
    table = knobs_of(running) | knobs_of(wanted)
    changes = [
        Change(name, before, after)
        for name in table
        if (before := value_of(running, name)) != (after := value_of(wanted, name))
    ]
    taken = tuple(change for change in changes if table[change.name].reload)
    waiting = tuple(change for change in changes if not table[change.name].reload)
    return Reload(with_changes(running, taken), taken, waiting)


def value_of(config: Config, name: str) -> Any:
    """The value of the knob called `section.key` (None of a mounted origin that is not there)."""
    section, _, key = name.rpartition(".")
    if not (mounted := section.partition(".")[2]):
        return getattr(getattr(config, section), key)
    return next((getattr(one, key) for one in config.mounted if one.name == mounted), None)


def knobs_of(config: Config) -> dict[str, Knob]:
    """Every knob that `config` has a value for, those of its mounted origins last."""
    return knobs() | {name: knob for one in config.mounted for name, knob in mounted_knobs(one.name).items()}


def with_changes(config: Config, changes: tuple[Change, ...]) -> Config:
    """`config` with every one of `changes` made."""
    for change in changes:
        config = _changed(config, change)
    return config


def _changed(config: Config, change: Change) -> Config:
    section, _, key = change.name.rpartition(".")
    if not (mounted := section.partition(".")[2]):
        table = getattr(config, section).model_copy(update={key: change.after})
        return config.model_copy(update={section: table})
    origins = (one.model_copy(update={key: change.after}) if one.name == mounted else one for one in config.mounted)
    return config.model_copy(update={"mounted": tuple(origins)})
