"""What one run of the harness has found, as values, and `run.json`, which keeps them.

Reading is strict: an unknown field, a missing one, a negative count is an error that names its place. Whoever changes
a field here raises SCHEMA.
"""

from __future__ import annotations

import json
import os
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from .histograms import Damaged, Histogram, Measure, merged

SCHEMA = 1
MAX_RECORD_BYTES = 256 << 20
MAX_CLIENTS = 10_000
"""Of which fairness is told one by one; the engine names no more."""
MAX_SECONDS = 7 * 86_400

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0.0)]


class Unreadable(Exception):
    """The file is no record of a run; the text says where and why."""


class Source(StrEnum):
    """Where the mirror took the bytes from that it delivered (I11: together they are all bytes delivered)."""

    DISK = "disk"
    MEMORY = "memory"
    FILL = "fill"
    RELAY = "relay"
    PEER = "peer"


class Loop(StrEnum):
    """Whether requests come by the clock, or when the one before is done."""

    OPEN = "open"
    CLOSED = "closed"


class Check(StrEnum):
    """How much of each body was compared with what it must be."""

    FULL = "full"
    STAMPS = "stamps"
    NONE = "none"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Scenario:
    """What was run."""

    name: str
    loop: Loop
    seed: int
    settings: dict[str, Any]
    """The whole configuration after all overrides, as JSON."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Environment:
    """Where it was run, so that nobody compares two machines unawares."""

    cpu: str
    cores: Count
    memory_bytes: Count
    kernel: str
    versions: dict[str, str]
    """Of python, penstock and the libraries that matter, by name."""
    revision: str | None = None
    """Of the source (git), with `+` behind it if something was changed."""
    pinning: str = ""
    """Which process was held to which core, in words."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Mark:
    """Something that happened at a second of the run: a fault, its end, a phase."""

    second: Seconds
    name: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class Moment:
    """One second of the run; counts are of that second alone, `in_flight` is of its end."""

    second: Count
    bytes: dict[Source, Count]
    requests: Count
    """Ended in this second, failed ones too."""
    errors: Count
    hits: Count
    """Requests answered without asking the origin."""
    in_flight: Count
    origin_bytes: Count
    origin_requests: Count = 0


@dataclass(frozen=True, slots=True, config=_STRICT)
class Distribution:
    """One measure of one kind of request (`revision`, `tree`, `head`, `whole`, `range`, `resume`, …)."""

    measure: Measure
    kind: str
    encoded: str

    @classmethod
    def of(cls, kind: str, histogram: Histogram) -> Distribution:
        return cls(histogram.measure, kind, histogram.encoded())

    def histogram(self) -> Histogram:
        """Raises Unreadable if the text is damaged."""
        try:
            return Histogram.decoded(self.measure, self.encoded)
        except Damaged as error:
            raise Unreadable(f"the distribution {self.measure} of {self.kind!r}: {error}") from error


@dataclass(frozen=True, slots=True, config=_STRICT)
class Interval:
    """The distributions of some seconds."""

    begin: Seconds
    seconds: Annotated[float, Field(gt=0.0)]
    distributions: tuple[Distribution, ...]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Latencies:
    """Of the whole run, and interval by interval."""

    whole: tuple[Distribution, ...] = ()
    intervals: tuple[Interval, ...] = ()

    def of(self, measure: Measure) -> Histogram:
        """All kinds of request together. Raises Unreadable."""
        return merged(measure, (one.histogram() for one in self.whole if one.measure is measure))


@dataclass(frozen=True, slots=True, config=_STRICT)
class Generator:
    """How the load itself did: numbers are worth little when the generator was the bottleneck."""

    processes: Count
    planned: Count
    sent: Count
    late: Count
    """Sent, but more than a moment after their time."""
    dropped: Count
    """Never sent."""
    cpu_share: Seconds
    """Of the busiest process, of one core, over the run."""
    lag_seconds: Seconds
    """The greatest lag of an event loop."""
    saturated: str | None = None
    """Why the generator was the bottleneck; None if it was not."""
    returned: Count = 0
    """Answers that broke off and whose rest was asked for again."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class ErrorClass:
    """Failures of one kind: a status, a broken connection, a wrong byte."""

    name: str
    count: Annotated[int, Field(ge=1)]
    example: str
    expected: bool = False
    """The scenario asked for it (an abort of its own, a fault that must show)."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Sum:
    """Two accounts of the same bytes that must agree, but for `slack`."""

    name: str
    left: Count
    right: Count
    slack: Count = 0

    @property
    def holds(self) -> bool:
        return abs(self.left - self.right) <= self.slack


@dataclass(frozen=True, slots=True, config=_STRICT)
class Conservation:
    """The bytes of the run as the client, the proxy and the origin counted them."""

    client_bytes: Count
    proxy_bytes: dict[Source, Count]
    proxy_origin_bytes: Count
    """What the proxy says it has read from the origin."""
    origin_bytes: Count
    """What the origin says it has sent."""
    unique_bytes: Count
    """What a perfect cache, empty at the begin, would have read: each byte that was asked for, once."""
    sums: tuple[Sum, ...] = ()

    @property
    def holds(self) -> bool:
        return all(one.holds for one in self.sums)

    @property
    def amplification(self) -> float | None:
        """Bytes from the origin for each byte it must give; None if nothing was asked for."""
        return self.origin_bytes / self.unique_bytes if self.unique_bytes else None


@dataclass(frozen=True, slots=True, config=_STRICT)
class Cost:
    """What the proxy has cost, all its processes together."""

    cpu_seconds: Seconds
    peak_resident_bytes: Count


@dataclass(frozen=True, slots=True, config=_STRICT)
class Resources:
    """What the proxy held at a second of the run, all its processes together."""

    second: Seconds
    resident_bytes: Count
    descriptors: Count
    """Open files and sockets."""
    lag_seconds: Seconds | None = None
    """How late a timer of its event loops fired, on average since the look before; None if it did not say."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClientShare:
    """What one client got while it was being served."""

    client: str
    bytes: Count
    seconds: Seconds


@dataclass(frozen=True, slots=True, config=_STRICT)
class Verification:
    """What was compared with what it must be."""

    mode: Check
    bytes_checked: Count
    files_checked: Count
    """Whole files whose sha256 was compared at the end."""
    wrong: Count
    """Places where a byte or a digest was not as it must be."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Promise:
    """A condition that the scenario sets, and what was found."""

    text: str
    kept: bool
    found: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class Run:
    """Everything about one run."""

    scenario: Scenario
    environment: Environment
    begin: Annotated[float, Field(ge=0.0)]
    """Seconds since 1970, UTC."""
    seconds: Annotated[float, Field(gt=0.0, le=MAX_SECONDS)]
    series: tuple[Moment, ...]
    latencies: Latencies
    generator: Generator
    conservation: Conservation
    verification: Verification
    marks: tuple[Mark, ...] = ()
    errors: tuple[ErrorClass, ...] = ()
    fairness: Annotated[tuple[ClientShare, ...], Field(max_length=MAX_CLIENTS)] = ()
    promises: tuple[Promise, ...] = ()
    cost: Cost | None = None
    """None when the target is not ours to look into."""
    resources: tuple[Resources, ...] = ()
    target: str | None = None
    """The mirror that was driven, if it was not our own."""
    schema: int = field(default=SCHEMA)


_RUN = TypeAdapter(Run)


def write(run: Run, path: Path) -> None:
    """Put `run` at `path`, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(_RUN.dump_json(run) + b"\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path) -> Run:
    """The run that `path` holds: a file, or a folder with a `run.json`. Raises Unreadable."""
    file = path / "run.json" if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_RECORD_BYTES:
            raise Unreadable(f"{file}: more than {MAX_RECORD_BYTES >> 20} MiB is no record of a run")
        text = file.read_bytes()
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror}") from error
    try:
        return parsed(text)
    except Unreadable as error:
        raise Unreadable(f"{file}: {error}") from error


def parsed(text: bytes) -> Run:
    """The run that `text` holds. Raises Unreadable."""
    try:
        loose = json.loads(text)
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}") from error
    schema = loose.get("schema") if isinstance(loose, dict) else None
    if schema != SCHEMA:
        raise Unreadable(f"written with schema {schema!r}, this version reads {SCHEMA}")
    try:
        return _RUN.validate_json(text)
    except ValidationError as error:
        raise Unreadable(_told(error)) from error


_MISTAKES_TOLD = 5


def _told(error: ValidationError) -> str:
    mistakes = error.errors(include_url=False)
    lines = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in mistakes[:_MISTAKES_TOLD]]
    more = len(mistakes) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more else "")
