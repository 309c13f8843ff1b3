"""What goes wrong during a run, by name and second, as scenarios say it. Pure; `timeline` makes it so.

Faults of the origin are armed in the synthetic Hub (`bench.hub.faults`) and taken back when their time is over; those
of a node or of Redis are signals to its processes, or a disk that is filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, assert_never, get_args

from pydantic import BaseModel, ConfigDict, Field

from .quantities import Rate, Seconds, Size


class _Fault(BaseModel):
    """`at` this second of the run, for so many `seconds`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    at: Seconds
    seconds: Seconds = 1.0


class Origin429(_Fault):
    """The Hub answers 429 to everything."""

    do: Literal["origin-429"]
    retry_after: int = Field(1, ge=0)


class Origin5xx(_Fault):
    """The Hub and its CDN answer with a server error."""

    do: Literal["origin-5xx"]
    status: int = Field(503, ge=500, le=599)


class OriginSlow(_Fault):
    """All bytes of the origin together come no faster than `bandwidth`, its metadata after `latency`."""

    do: Literal["origin-slow"]
    bandwidth: Rate | None = None
    latency: Seconds = 0.0


class OriginStall(_Fault):
    """Bodies stop after so many bytes, and the connection stays open."""

    do: Literal["origin-stall"]
    after: Size = 1 << 20


class OriginReset(_Fault):
    """Bodies end with a reset after so many bytes."""

    do: Literal["origin-reset"]
    after: Size = 1 << 20


class OriginTruncate(_Fault):
    """Bodies end cleanly after so many bytes, short of what was announced."""

    do: Literal["origin-truncate"]
    after: Size = 1 << 20


class OriginLie(_Fault):
    """The byte of each file at this offset is wrong."""

    do: Literal["origin-lie"]
    byte: Size = 0


class OriginOff(_Fault):
    """The origin's ports are closed."""

    do: Literal["origin-off"]


class _NodeFault(_Fault):
    """It befalls `node`, the first being 0."""

    node: int = Field(0, ge=0)


class NodeKill(_NodeFault):
    """kill -9 of all processes of the node; it is started again after `seconds`."""

    do: Literal["node-kill"]


class NodeRestart(_NodeFault):
    """SIGTERM, and as soon as the node has ended it is started again."""

    do: Literal["node-restart"]


class NodePause(_NodeFault):
    """All processes of the node are stopped (SIGSTOP) for so long."""

    do: Literal["node-pause"]


class WorkerKill(_NodeFault):
    """kill -9 of one worker; its supervisor starts another. Needs more than one worker."""

    do: Literal["worker-kill"]


class DiskFull(_NodeFault):
    """The disk's file system is filled up but for `free` bytes."""

    do: Literal["disk-full"]
    free: Size = 0


class RedisKill(_Fault):
    """kill -9 of Redis; after `seconds` it is there again, empty."""

    do: Literal["redis-kill"]


class RedisPause(_Fault):
    """Redis takes connections and answers nothing (SIGSTOP) for so long."""

    do: Literal["redis-pause"]


OriginFault = Origin429 | Origin5xx | OriginSlow | OriginStall | OriginReset | OriginTruncate | OriginLie | OriginOff
NodeFault = NodeKill | NodeRestart | NodePause | WorkerKill | DiskFull
RedisFault = RedisKill | RedisPause

Fault = Annotated[OriginFault | NodeFault | RedisFault, Field(discriminator="do")]

KINDS: Final[dict[str, type[OriginFault | NodeFault | RedisFault]]] = {
    get_args(kind.model_fields["do"].annotation)[0]: kind for kind in get_args(OriginFault | NodeFault | RedisFault)
}
"""By the name that scenarios call them."""


def victim(fault: NodeFault | RedisFault) -> str:
    """Whom it befalls."""
    return f"n{fault.node}" if isinstance(fault, NodeFault) else "redis"


@dataclass(frozen=True, slots=True)
class Dials:
    """How the origin behaves when nothing is wrong with it."""

    bandwidth: float | None
    connection_bandwidth: float | None
    latency: float


def armed(faults: list[OriginFault], dials: Dials) -> dict[str, Any]:
    """What the synthetic Hub is to be told so that exactly these faults are in force (see `bench.hub.faults`)."""
    acts = [act for fault in faults for act in _acts(fault)]
    slow = [fault for fault in faults if isinstance(fault, OriginSlow)]
    bandwidths = [fault.bandwidth for fault in slow if fault.bandwidth is not None]
    return {
        "faults": acts,
        "bandwidth": min(bandwidths, default=dials.bandwidth),
        "connection_bandwidth": dials.connection_bandwidth,
        "latency": max([dials.latency, *(fault.latency for fault in slow)]),
    }


def _acts(fault: OriginFault) -> list[dict[str, Any]]:
    bodies = ["cdn", "resolve-cache"]
    match fault:
        case Origin429(retry_after=seconds):
            return [{"act": "rate-limited", "seconds": seconds, "plane": "hub"}]
        case Origin5xx(status=status):
            return [{"act": "fail", "status": status}]
        case OriginStall(after=after):
            return [{"act": "stall", "after": after, "kinds": bodies}]
        case OriginReset(after=after):
            return [{"act": "cut", "after": after, "reset": True, "kinds": bodies}]
        case OriginTruncate(after=after):
            return [{"act": "cut", "after": after, "kinds": bodies}]
        case OriginLie(byte=byte):
            return [{"act": "flip-byte", "at": byte, "kinds": bodies}]
        case OriginSlow() | OriginOff():
            return []
        case _:
            assert_never(fault)
