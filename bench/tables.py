"""The tables of a scenario file: every key, what it means, and what it is when nobody says."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .load.arrivals import Bursts, Diurnal, Herd, Poisson, Shape, Steady
from .load.catalogue import SMALL_FILES, Extent
from .load.workload import Act, Habits, StyleName
from .quantities import Rate, Seconds, Share, Size
from .record import Check, Loop

MOST_NODES = 16


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)


class CatalogueTable(Table):
    """The repos that exist. Three kinds: `popular` ones, `releases` that are born during the run, and those that are
    asked for `once`."""

    popular: int = Field(20, ge=1, le=1_000_000)
    """Repos that clients want by Zipf's law, the first one most."""
    releases: int = Field(0, ge=0, le=100_000)
    """Repos that are born during the run."""
    once: int = Field(0, ge=0, le=1_000_000)
    """Repos of which each is asked for a single time: one-hit wonders."""
    mean: Size = Field(4 << 20, gt=0)
    """Bytes of the weights of a repo, on average."""
    sigma: float = Field(1.0, ge=0, le=4)
    """Of the lognormal sizes; 0: all alike."""
    most: Size = Field(1 << 40, gt=0)
    """Most bytes of the weights of a repo."""
    shard: Size = Field(5 * 1000**3, gt=0)
    """Larger weights are cut into files of so many bytes."""
    small_files: int = Field(6, ge=0, le=len(SMALL_FILES))
    """config.json, tokenizer.json and the like, in each repo."""
    small_scale: float = Field(1.0, gt=0)
    """Of their sizes in life."""

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
    """`open`: sessions begin by the clock, whatever the mirror does; `closed`: a client begins anew when it is done."""
    shape: Literal["poisson", "steady", "bursts", "diurnal", "herd"] = "poisson"
    """Of an open loop; `herd`: `clients` of them, all at the begin, and all want the first repo."""
    rate: float = Field(20.0, gt=0)
    """Sessions a second (open loop)."""
    clients: int = Field(16, ge=1, le=100_000)
    """Sessions at a time (closed loop), or in the herd."""
    within: Seconds = 2.0
    """The herd comes inside this time."""
    burst_factor: float = Field(5.0, gt=0)
    """In a burst the rate is so many times itself."""
    burst: Seconds = 60.0
    """How long one lasts."""
    period: Seconds = Field(600.0, gt=0)
    """From one burst to the next, or the length of a day."""
    swing: Share = 0.4
    """How far the rate of a diurnal load leaves its mean, as a part of it."""
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
    """What a session is: snapshot (revision, tree, HEADs, all bodies), look (the same without bodies), file, small
    (file), range, head."""
    styles: dict[StyleName, float] = {StyleName.STREAM: 1.0}
    """How a large body is read: stream (one answer), ranges, resume (from the middle, with If-Range), abort, slow."""
    alpha: float = Field(1.0, ge=0, le=4)
    """Of Zipf's law; 0: all repos alike."""
    release_share: Share = 0.0
    """Sessions that want one of the releases."""
    release_every: Seconds = Field(5.0, gt=0)
    """From one birth to the next."""
    hype: Seconds = Field(5.0, gt=0)
    """Half-life of the interest in four releases of five."""
    adopted: Seconds = Field(120.0, gt=0)
    """Half-life of the interest in the fifth."""
    once_share: Share = 0.0
    """Sessions that want what nobody has wanted before or will again."""
    parallel: int = Field(8, ge=1, le=256)
    """Files of a snapshot at a time."""
    range_size: Size = Field(10 << 20, gt=0)
    ranges_parallel: int = Field(8, ge=1, le=256)
    """Ranges of one file at a time."""
    slow_rates: tuple[Rate, Rate] = (1e6, 1e7)
    """Slow readers take between so many bytes a second."""
    returns: int = Field(0, ge=0, le=100)
    """How often a client whose answer breaks off comes again for the rest, at once and then later and later; what it
    gets in the end counts."""

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
    """`full`: every byte; `stamps`: 16 bytes of every 4096; `none`: bodies are thrown away inside the kernel."""
    hash: Literal["first", "always"] = "first"
    """With `full`: the sha256 of each whole file the first time it comes (per generator), or every time."""


class OriginTable(Table):
    """The synthetic Hub."""

    bandwidth: Rate | None = None
    """Of all its answers together."""
    connection_bandwidth: Rate | None = None
    """Of one connection."""
    latency: Seconds = 0.0
    """Before each answer."""


class ProxyTable(Table):
    """The mirror, or a fleet of them that is one cache."""

    nodes: int = Field(1, ge=1, le=MOST_NODES)
    """Mirrors; clients are shared out among them, and go to the next when one is gone."""
    redis: bool = True
    """More than one node: they find one another by a Redis, which is started too; else by a list."""
    workers: int = Field(1, ge=1, le=64)
    disk: Size = Field(8 << 30, gt=0)
    """Most bytes that one node may keep."""
    volume: Size | None = Field(None, gt=0)
    """A file system of its own of this size for each node (a tmpfs, which needs root); what `disk-full` needs."""
    warm: bool = False
    """Everything popular is in the cache before the clock starts."""
    settings: dict[str, str | int | float | bool] = {}
    """Settings of Penstock by name, such as "fetch.parallel" = 8."""

    @property
    def has_redis(self) -> bool:
        return self.redis and self.nodes > 1
