"""Scenarios: what one run is made of, as a TOML file with a schema. A new one needs no code.

Sizes, durations and rates take human spellings ("64MiB", "20s", "50MB/s"). An unknown key is a mistake that names the
nearest known one; all mistakes are told at once.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .conditions import Condition, NoCondition
from .conditions import parsed as condition
from .faults import KINDS, Fault
from .load.arrivals import Bursts, Diurnal, Herd, Poisson, Shape, Steady
from .load.catalogue import SMALL_FILES, Extent
from .load.workload import Act, Habits, StyleName
from .quantities import Rate, Seconds, Share, Size
from .record import Check, Loop

FOLDER: Final = Path(__file__).parent / "scenarios"


class ScenarioError(Exception):
    """The scenario cannot be run; `mistakes` are all that is wrong with it, one line each."""

    def __init__(self, what: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__("\n".join([what, *mistakes]))
        self.what = what
        self.mistakes = tuple(mistakes)


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class CatalogueTable(Table):
    """The repos that exist. Three kinds: `popular` ones, `releases` that are born during the run, and those that are
    asked for `once`."""

    popular: int = Field(20, ge=1, le=1_000_000)
    releases: int = Field(0, ge=0, le=100_000)
    once: int = Field(0, ge=0, le=1_000_000)
    mean: Size = Field(4 << 20, gt=0)
    """Bytes of the weights of a repo, on average."""
    sigma: float = Field(1.0, ge=0, le=4)
    """Of the lognormal sizes; 0: all alike."""
    most: Size = Field(1 << 40, gt=0)
    shard: Size = Field(5 * 1000**3, gt=0)
    small_files: int = Field(6, ge=0, le=len(SMALL_FILES))
    small_scale: float = Field(1.0, gt=0)

    def extent(self) -> Extent:
        return Extent(
            popular=self.popular,
            releases=self.releases,
            once=self.once,
            mean_bytes=self.mean,
            sigma=self.sigma,
            most_bytes=self.most,
            shard_bytes=self.shard,
            small_files=self.small_files,
            small_scale=self.small_scale,
        )


class LoadTable(Table):
    """When sessions begin, and how many."""

    loop: Loop = Loop.OPEN
    shape: Literal["poisson", "steady", "bursts", "diurnal", "herd"] = "poisson"
    rate: float = Field(20.0, gt=0)
    """Sessions a second (open loop)."""
    clients: int = Field(16, ge=1, le=100_000)
    """Sessions at a time (closed loop), or in the herd."""
    within: Seconds = 2.0
    """The herd comes inside this time."""
    burst_factor: float = Field(5.0, gt=0)
    burst: Seconds = 60.0
    period: Seconds = Field(600.0, gt=0)
    """From one burst to the next, or the length of a day."""
    swing: Share = 0.4
    most_at_once: int = Field(2000, ge=1)
    """Sessions under way; who comes when so many are is dropped, and counted."""
    connections: Literal["own", "shared"] = "own"
    """Does each client open its own, as in life, or do all draw on one pool?"""
    patience: Seconds = Field(10.0, gt=0)
    """A client gives up after so long without a byte; those of the Hub do after 10 s."""
    at_end: Literal["finish", "leave"] = "finish"
    """When the time is up, sessions under way are finished, or left."""
    linger: Seconds = 30.0
    """How long finishing may take; what is not done then has failed."""
    generators: int = Field(1, ge=1, le=64)
    """Processes that make the load."""

    @model_validator(mode="after")
    def _herds_come_by_the_clock(self) -> Self:
        if self.shape == "herd" and self.loop is Loop.CLOSED:
            raise ValueError("a herd comes by the clock: shape = 'herd' needs loop = 'open'")
        return self

    def arrivals(self) -> Shape:
        match self.shape:
            case "poisson":
                return Poisson(self.rate)
            case "steady":
                return Steady(self.rate)
            case "bursts":
                return Bursts(self.rate, self.burst_factor, self.burst, self.period)
            case "diurnal":
                return Diurnal(self.rate, self.swing, self.period)
            case "herd":
                return Herd(self.clients, self.within)


class ClientsTable(Table):
    """How clients behave. `acts` and `styles` are relative weights."""

    acts: dict[Act, float] = {Act.SNAPSHOT: 1.0}
    styles: dict[StyleName, float] = {StyleName.STREAM: 1.0}
    alpha: float = Field(1.0, ge=0, le=4)
    release_share: Share = 0.0
    release_every: Seconds = Field(5.0, gt=0)
    hype: Seconds = Field(5.0, gt=0)
    """Half-life of the interest in four releases of five."""
    adopted: Seconds = Field(120.0, gt=0)
    """Half-life of the interest in the fifth."""
    once_share: Share = 0.0
    parallel: int = Field(8, ge=1, le=256)
    range_size: Size = Field(10 << 20, gt=0)
    ranges_parallel: int = Field(8, ge=1, le=256)
    slow_rates: tuple[Rate, Rate] = (1e6, 1e7)

    @field_validator("acts", "styles")
    @classmethod
    def _some_weight(cls, weights: dict[Any, float]) -> dict[Any, float]:
        if any(weight < 0 for weight in weights.values()) or not sum(weights.values()) > 0:
            raise ValueError("weights are not negative, and one is more than 0")
        return weights

    def habits(self, *, herd: bool) -> Habits:
        return Habits(
            acts=tuple(self.acts.items()),
            styles=tuple(self.styles.items()),
            alpha=self.alpha,
            release_share=self.release_share,
            once_share=self.once_share,
            release_every=self.release_every,
            half_lives=(self.hype, self.adopted),
            parallel=self.parallel,
            range_bytes=self.range_size,
            ranges_parallel=self.ranges_parallel,
            slow_rates=self.slow_rates,
            all_for_first=herd,
        )


class VerifyTable(Table):
    """What is compared with what it must be."""

    check: Check = Check.FULL
    hash: Literal["first", "always"] = "first"
    """With `full`: the sha256 of each whole file the first time it comes (per generator), or every time."""


class OriginTable(Table):
    """The synthetic Hub."""

    bandwidth: Rate | None = None
    connection_bandwidth: Rate | None = None
    latency: Seconds = 0.0


class ProxyTable(Table):
    """The mirror."""

    workers: int = Field(1, ge=1, le=64)
    disk: Size = Field(8 << 30, gt=0)
    """Most bytes it may keep."""
    volume: Size | None = Field(None, gt=0)
    """A file system of its own of this size (a tmpfs, which needs root); what `disk-full` needs."""
    warm: bool = False
    """Everything popular is in the cache before the clock starts."""
    settings: dict[str, str | int | float | bool] = {}
    """Settings of Penstock by name, such as "fetch.parallel" = 8."""


class Scenario(Table):
    """One run."""

    about: str = ""
    duration: Seconds = Field(10.0, gt=0, le=7 * 86_400)
    seed: int = 1
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
    def _full_disk_is_ours(self) -> Self:
        if self.proxy.volume is None and any(fault.do == "disk-full" for fault in self.faults):
            raise ValueError('disk-full needs a disk of its own: set proxy.volume, such as "256MiB"')
        return self


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
