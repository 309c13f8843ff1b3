"""What shall go wrong, for which requests, how often.

A `Fault` is an *act* (a frozen dataclass below), a `Match` that says which requests it meets, `times` (how many of
those it meets; None: all) and `skip` (how many it lets pass first). `Faults` is the mutable set of them, plus three
dials that meet everybody: `bandwidth` (bytes per second, shared by all transfers), `connection_bandwidth` (for each
transfer), `latency` (seconds before every answer of the metadata plane).

    faults.add(Cut(after=25_000_000), kinds=("cdn",), times=1)
    faults.add(Fail(503), kinds=("api",), path="acme/tiny")

A kind is a `Kind` value or a group: `api` (all metadata), `file` (all bytes). No kinds: all. The same over HTTP, as
JSON:

    POST /__hub/faults
    {"bandwidth": "50MB/s", "latency": "20ms",
     "faults": [{"act": "cut", "after": 25000000, "kinds": ["cdn"], "times": 1}]}

where `act` is the class name in kebab case and its fields stand beside it. `faults` replaces the list, `add` appends
to it, `"clear": true` resets everything first, `"expire_now": true` expires all minted addresses, `"off": 2.5` closes
the ports for that many seconds. `delivery` and `distort` say how each act is done.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .messages import API_KINDS, FILE_KINDS, Asked, Kind, Plane
from .units import parse_rate, parse_seconds

# -- before the answer ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait before the status line."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection (RST) in place of an answer."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer with this status. `code` is the `X-Error-Code`."""

    status: int = 503
    message: str = "Synthetic failure"
    code: str = ""


@dataclass(frozen=True, slots=True)
class RateLimited:
    """Answer 429 with `RateLimit: "{policy}";r=0;t={seconds}` and, unless told otherwise, `Retry-After`."""

    seconds: int = 1
    policy: str = "api"
    retry_after: bool = True


@dataclass(frozen=True, slots=True)
class RedirectTo:
    """Redirect to a location of another's choice. `{path}` in it stands for the raw target asked for."""

    location: str
    status: int = 302


@dataclass(frozen=True, slots=True)
class ExpireUrls:
    """CDN addresses minted by a met `resolve` work for so many seconds and, if given, so many requests."""

    seconds: float = 0.0
    uses: int | None = None


# -- in the headers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IgnoreRange:
    """Answer a `Range` with 200 and the whole."""


@dataclass(frozen=True, slots=True)
class ShiftContentRange:
    """Announce another part in `Content-Range` than is sent."""

    by: int = 1


@dataclass(frozen=True, slots=True)
class WrongLength:
    """Announce a `Content-Length` that is off by this; if longer, the connection is closed after the true end."""

    by: int


@dataclass(frozen=True, slots=True)
class ChangeETag:
    """Another `ETag` and `X-Linked-Etag` in each answer."""


@dataclass(frozen=True, slots=True)
class SetHeaders:
    """Set these headers, or drop those whose value is empty."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Chunked:
    """Send without `Content-Length`, chunked."""


@dataclass(frozen=True, slots=True)
class Gzip:
    """Send gzip-encoded, asked for or not, ranged or not."""


# -- in the body ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection after so many body bytes, with FIN or RST."""

    after: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """Pause after so many body bytes; None: until the client leaves."""

    after: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class FlipByte:
    """Invert the byte at this offset of the file, whichever range it is asked in."""

    at: int


@dataclass(frozen=True, slots=True)
class ChangeContent:
    """From this offset of the file on send the bytes of another generation, under another ETag unless `keep_etag`."""

    at: int = 0
    keep_etag: bool = False


@dataclass(frozen=True, slots=True)
class Throttle:
    """Bytes per second of one body."""

    rate: float


class Gate:
    """A point in a body where transfers wait until the test says go."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._released = asyncio.Event()
        self.waiting = 0

    async def reached(self) -> None:
        """Returns when the first transfer has come to the gate."""
        await self._reached.wait()

    def release(self) -> None:
        self._released.set()

    async def pass_through(self) -> None:
        self._reached.set()
        self.waiting += 1
        try:
            await self._released.wait()
        finally:
            self.waiting -= 1


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait at a gate after so many body bytes, or (None) before the answer is even decided; in-process only."""

    gate: Gate
    after: int | None = 0


@dataclass(frozen=True, slots=True)
class Do:
    """Call this before the answer is decided, to change the world between two requests; in-process only."""

    call: Callable[[], object]


Act = (
    Delay
    | Reset
    | Fail
    | RateLimited
    | RedirectTo
    | ExpireUrls
    | IgnoreRange
    | ShiftContentRange
    | WrongLength
    | ChangeETag
    | SetHeaders
    | Chunked
    | Gzip
    | Cut
    | Stall
    | FlipByte
    | ChangeContent
    | Throttle
    | Hold
    | Do
)
_ACTS: tuple[type[Act], ...] = (
    *(Delay, Reset, Fail, RateLimited, RedirectTo, ExpireUrls, IgnoreRange, ShiftContentRange, WrongLength, ChangeETag),
    *(SetHeaders, Chunked, Gzip, Cut, Stall, FlipByte, ChangeContent, Throttle),
)


def act_name(act: type[Act]) -> str:
    """`ChangeETag` is `change-etag`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", act.__name__).lower()


ACTS_BY_NAME: dict[str, type[Act]] = {act_name(act): act for act in _ACTS}
_GROUPS: dict[str, frozenset[Kind]] = {"api": API_KINDS, "file": FILE_KINDS}


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a fault meets: all that fit every field that is set. `path` is a part of the raw target."""

    kinds: frozenset[Kind] = frozenset()
    plane: Plane | None = None
    method: str = ""
    path: str = ""
    ranged: bool | None = None

    @classmethod
    def of(cls, kinds: Iterable[str] = (), **rest: Any) -> "Match":
        """From names of kinds and groups. Raises ValueError for an unknown one."""
        chosen: set[Kind] = set()
        for name in kinds:
            chosen |= _GROUPS[name] if name in _GROUPS else {Kind(name)}
        return cls(frozenset(chosen), **rest)

    def meets(self, plane: Plane, kind: Kind, asked: Asked) -> bool:
        return (
            (not self.kinds or kind in self.kinds)
            and self.plane in {None, plane}
            and self.method in {"", asked.method}
            and self.path in asked.raw_path
            and self.ranged in {None, "range" in asked.headers}
        )


@dataclass(frozen=True, slots=True)
class Fault:
    act: Act
    match: Match = Match()
    times: int | None = None
    skip: int = 0


@dataclass(slots=True)
class Armed:
    """A fault and how many matching requests it has seen."""

    fault: Fault
    seen: int = 0

    def strikes(self) -> bool:
        """Count one matching request; whether the fault meets it."""
        number = self.seen
        self.seen += 1
        fault = self.fault
        return number >= fault.skip and (fault.times is None or number < fault.skip + fault.times)


@dataclass
class Faults:
    """All that shall go wrong; empty, the Hub behaves."""

    bandwidth: float | None = None
    connection_bandwidth: float | None = None
    latency: float = 0.0
    armed: list[Armed] = field(default_factory=list)

    def add(
        self,
        act: Act,
        *,
        kinds: Collection[str] = (),
        plane: Plane | None = None,
        method: str = "",
        path: str = "",
        ranged: bool | None = None,
        times: int | None = None,
        skip: int = 0,
    ) -> Armed:
        """Arm a fault; `armed.seen` of what is returned counts the requests it matched."""
        match = Match.of(kinds, plane=plane, method=method, path=path, ranged=ranged)
        return self.arm(Fault(act, match, times, skip))

    def arm(self, fault: Fault) -> Armed:
        armed = Armed(fault)
        self.armed.append(armed)
        return armed

    def remove(self, armed: Armed) -> None:
        self.armed.remove(armed)

    def clear(self) -> None:
        """Behave again: no faults, dials at rest. Transfers already met go on as they began."""
        self.armed.clear()
        self.bandwidth = self.connection_bandwidth = None
        self.latency = 0.0

    def take(self, plane: Plane, kind: Kind, asked: Asked) -> tuple[Act, ...]:
        """The acts that meet this request, in the order armed; counts it."""
        return tuple(one.fault.act for one in self.armed if one.fault.match.meets(plane, kind, asked) and one.strikes())

    def update(self, wanted: Mapping[str, Any]) -> None:
        """Apply the JSON form. Raises ValueError or TypeError, naming what is wrong, before anything is changed."""
        known = {"bandwidth", "connection_bandwidth", "latency", "faults", "add", "clear", "expire_now", "off"}
        if unknown := set(wanted) - known:
            raise ValueError(f"unknown keys {sorted(unknown)}; known are {sorted(known)}")
        replaced = [Armed(fault_of(one)) for one in wanted["faults"]] if "faults" in wanted else None
        added = [Armed(fault_of(one)) for one in wanted.get("add", ())]
        dials = {
            name: _dial(name, wanted[name])
            for name in ("bandwidth", "connection_bandwidth", "latency")
            if name in wanted
        }
        if wanted.get("clear"):
            self.clear()
        self.armed = (self.armed if replaced is None else replaced) + added
        for name, value in dials.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        return {
            "bandwidth": self.bandwidth,
            "connection_bandwidth": self.connection_bandwidth,
            "latency": self.latency,
            "faults": [_json_of(one) for one in self.armed],
        }


def fault_of(wanted: Mapping[str, Any]) -> Fault:
    """A fault from its JSON form. Raises ValueError or TypeError."""
    rest = dict(wanted)
    name = rest.pop("act", None)
    if name not in ACTS_BY_NAME:
        raise ValueError(f"unknown act {name!r}; known are {', '.join(sorted(ACTS_BY_NAME))}")
    times, skip = rest.pop("times", None), rest.pop("skip", 0)
    plane = rest.pop("plane", None)
    match = Match.of(
        rest.pop("kinds", ()),
        plane=Plane(plane) if plane else None,
        method=rest.pop("method", ""),
        path=rest.pop("path", ""),
        ranged=rest.pop("ranged", None),
    )
    return Fault(ACTS_BY_NAME[name](**rest), match, times, skip)


def _json_of(armed: Armed) -> dict[str, Any]:
    fault = armed.fault
    act = {"act": act_name(type(fault.act))}
    act |= {one.name: getattr(fault.act, one.name) for one in fields(fault.act) if one.name not in {"gate", "call"}}
    match = {name: value for name, value in asdict(fault.match).items() if value not in (None, "", frozenset())}
    if "kinds" in match:
        match["kinds"] = sorted(match["kinds"])
    return act | match | {"times": fault.times, "skip": fault.skip, "seen": armed.seen}


def _dial(name: str, value: object) -> float | None:
    if value is None:
        return 0.0 if name == "latency" else None
    if isinstance(value, str):
        return parse_seconds(value) if name == "latency" else parse_rate(value)
    if isinstance(value, int | float):
        return float(value)
    raise ValueError(f"{name} is a number, or a text such as 50MB/s or 20ms")
