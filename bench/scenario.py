"""Scenarios: what one run is made of, as a TOML file with a schema. A new one needs no code.

Sizes, durations and rates take human spellings ("64MiB", "20s", "50MB/s"). An unknown key is a mistake that names the
nearest known one; all mistakes are told at once.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from .conditions import Condition, NoCondition
from .conditions import parsed as condition
from .faults import (
    KINDS,
    DiskFull,
    Fault,
    NodeFault,
    NodeKill,
    NodePause,
    NodeRestart,
    RedisFault,
    WorkerKill,
    victim,
)
from .quantities import Seconds
from .tables import CatalogueTable, ClientsTable, LoadTable, OriginTable, ProxyTable, Table, VerifyTable

FOLDER: Final = Path(__file__).parent / "scenarios"


class ScenarioError(Exception):
    """The scenario cannot be run; `mistakes` are all that is wrong with it, one line each."""

    def __init__(self, what: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__("\n".join([what, *mistakes]))
        self.what = what
        self.mistakes = tuple(mistakes)


class Scenario(Table):
    """One run."""

    about: str = ""
    """One line: what it asks."""
    duration: Seconds = Field(10.0, gt=0, le=7 * 86_400)
    """How long sessions begin."""
    seed: int = 1
    """Of everything that is drawn: the same seed gives the same repos, sessions and times."""
    catalogue: CatalogueTable = CatalogueTable()
    load: LoadTable = LoadTable()
    clients: ClientsTable = ClientsTable()
    verify: VerifyTable = VerifyTable()
    origin: OriginTable = OriginTable()
    proxy: ProxyTable = ProxyTable()
    faults: tuple[Fault, ...] = ()
    promises: tuple[str, ...] = ()
    """Conditions that a good run fulfils, such as "ttfb_p99<100ms" (see `conditions`)."""
    tolerated: tuple[str, ...] = ()
    """Classes of errors that the faults must cause; they do not make a run a bad one."""

    @field_validator("promises")
    @classmethod
    def _clear(cls, promises: tuple[str, ...]) -> tuple[str, ...]:
        for text in promises:
            if _promise(text).is_relative:
                raise ValueError(f"{text!r} compares with another run, and there is none")
        return promises

    @model_validator(mode="after")
    def _there_is_what_faults_hurt(self) -> Self:
        wrong = [what for fault in self.faults if (what := self._missing(fault)) is not None]
        ours = [fault for fault in self.faults if isinstance(fault, NodeKill | NodeRestart | NodePause | RedisFault)]
        for one, other in combinations(sorted(ours, key=lambda fault: fault.at), 2):
            if victim(one) == victim(other) and other.at <= one.at + one.seconds:
                wrong.append(f"{one.do} at {one.at:g} s is not over when {other.do} comes at {other.at:g} s")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _missing(self, fault: Fault) -> str | None:
        proxy = self.proxy
        if isinstance(fault, DiskFull) and proxy.volume is None:
            return 'disk-full needs a disk of its own: set proxy.volume, such as "256MiB"'
        if isinstance(fault, RedisFault) and not proxy.has_redis:
            return f"{fault.do} needs a Redis, and only a fleet has one: set proxy.nodes, such as 3"
        if isinstance(fault, NodeFault) and fault.node >= proxy.nodes:
            return f"{fault.do} befalls node {fault.node}, and the last one is {proxy.nodes - 1}"
        if isinstance(fault, WorkerKill) and proxy.workers < 2:
            return "worker-kill needs a worker that goes on: set proxy.workers, such as 2"
        return None

    def without(self, kinds: Collection[str]) -> Self:
        """The same without the faults of these names, and without what only they needed."""
        faults = tuple(fault for fault in self.faults if fault.do not in kinds)
        keeps_volume = "disk-full" not in kinds or any(isinstance(fault, DiskFull) for fault in faults)
        proxy = self.proxy if keeps_volume else self.proxy.model_copy(update={"volume": None})
        return self.model_copy(update={"faults": faults, "proxy": proxy})

    @property
    def hurts_mirror(self) -> bool:
        """Whether a fault befalls the mirror itself; that can be done only to one that is ours."""
        return any(isinstance(fault, NodeFault | RedisFault) for fault in self.faults)


def names() -> list[str]:
    """The scenarios that come with the harness."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a scenario that comes with us, or of one's own (a path that ends in .toml). Raises ScenarioError."""
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise ScenarioError(f"there is no file {name}")
        return Path(name)
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names())}; or name a .toml file"
        raise ScenarioError(f"there is no scenario {name!r}; {hint}")
    return FOLDER / f"{name}.toml"


def read(path: Path, changes: Mapping[str, Any]) -> Scenario:
    """The scenario in a file, with some keys changed: `{"load.rate": 50}`. Raises ScenarioError."""
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    for name, value in changes.items():
        _change(plain, name, value)
    return parsed(plain, str(path))


def parsed(plain: Mapping[str, Any], place: str) -> Scenario:
    """Raises ScenarioError, `place` being where it comes from."""
    try:
        return Scenario.model_validate(plain)
    except ValidationError as error:
        mistakes = [_told(one) for one in error.errors(include_url=False)]
        raise ScenarioError(f"{place} is no scenario:", mistakes) from error


def change(text: str) -> tuple[str, Any]:
    """`load.rate=50` as a key and its value, which is read as TOML if it can be, else as text. Raises ScenarioError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ScenarioError(f"{text!r} is not key=value; write it like load.rate=50")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def _change(plain: dict[str, Any], name: str, value: Any) -> None:
    *tables, key = _keys(name)
    table = plain
    for one in tables:
        table = table.setdefault(one, {})
        if not isinstance(table, dict):
            raise ScenarioError(f"{name}: {one} is no table")
    table[key] = value


def _keys(name: str) -> list[str]:
    """`proxy.settings.fetch.parallel` sets the key "fetch.parallel": names of settings have dots themselves."""
    first, _, setting = name.partition("proxy.settings.")
    return ["proxy", "settings", setting] if setting and not first else name.split(".")


def _promise(text: str) -> Condition:
    try:
        return condition(text)
    except NoCondition as error:
        raise ValueError(str(error)) from error


def _told(mistake: Any) -> str:
    name = ".".join(str(part) for part in mistake["loc"] if part not in KINDS)
    message = str(mistake["msg"]).removeprefix("Value error, ").replace("Input should be", "should be")
    if mistake["type"] != "extra_forbidden":
        return f"{name or 'the whole'}: {message}"
    kind = next((KINDS[part] for part in mistake["loc"] if part in KINDS), None)
    known = _known(Scenario, "") if kind is None else list(kind.model_fields)
    near = difflib.get_close_matches(name if kind is None else mistake["loc"][-1], known, n=1, cutoff=0.6)
    return f"{name}: there is no such key" + (f"; did you mean {near[0]}?" if near else "")


def _known(table: type[BaseModel], prefix: str) -> list[str]:
    found = []
    for key, field in table.model_fields.items():
        found.append(f"{prefix}{key}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += _known(field.annotation, f"{prefix}{key}.")
    return found
