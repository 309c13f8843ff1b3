"""One run: clients at every node, a fault midway, and what came of it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final

from bench.hub.content import MIB
from proxy.core.sizes import SLICE
from proxy.core.tasks import TaskSet

from .aftermath import left_over
from .faults import FAULTS, HOLDS_A_NODE, TAKES_A_NODE
from .readers import Order
from .stand import SEED, FleetStand, Plan

PATIENCE: Final = 60.0
"""Seconds of silence after which a client takes its connection for dead."""
HASHED: Final = 2
"""Clients of each process that compute the sha256 too; all compare every byte with what it must be."""
_LOOK: Final = 0.05
_COUNTED: Final = {
    "why the origin was asked": ("fleet_origin_bytes_total", "reason"),
    "peer reads": ("peer_reads_total", "result"),
    "leases": ("leases_total", "outcome"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """`clients` at each node; the fault comes at that part of the blob and lasts for so many `seconds`, if it lasts."""

    fault: str
    clients: int
    at: float
    seconds: float
    pieces: int
    readers: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run has found. `origin_ratio` is file bytes of the origin by those wanted; times are in seconds."""

    HEADING: ClassVar[str] = (
        "fault            origin  requests   wall  /single  first byte  clients  moved  errors  wrong  left"
    )

    plan: dict[str, Any]
    setting: dict[str, Any]
    wanted: int
    origin_bytes: int
    origin_requests: int
    wall: float
    wall_elsewhere: float
    """Of the clients at nodes that nothing was done to."""
    single: float | None
    first_byte_worst: float
    clients: int
    complete: int
    moved: list[str] = field(default_factory=list)
    """Breaks at the node that was taken away."""
    errors: list[str] = field(default_factory=list)
    """All others."""
    wrong: int = 0
    sha256_right: int = 0
    left: list[str] = field(default_factory=list)
    counted: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def origin_ratio(self) -> float:
        return self.origin_bytes / self.wanted

    @property
    def is_good(self) -> bool:
        return not (self.errors or self.wrong or self.left) and self.complete == self.clients

    def line(self) -> str:
        ratio = "" if self.single is None else f"{self.wall_elsewhere / self.single:.2f}"
        line = (
            f"{self.setting['fault']:16} {self.origin_ratio:6.4f} {self.origin_requests:9} {self.wall:6.1f} {ratio:>8}"
        )
        line += (
            f" {self.first_byte_worst:11.2f} {self.complete:4}/{self.clients} {len(self.moved):5} {len(self.errors):7}"
        )
        line += f" {self.wrong:6} {len(self.left):5}"
        said = [*sorted(set(self.errors))[:3], *self.left[:5]]
        said += [f"{name}: {counts}" for name, counts in self.counted.items()]
        return "\n    ".join([line, *said])


async def timed_alone(plan: Plan) -> float:
    """Seconds in which one client reads the blob from one cold node that is in no fleet."""
    async with FleetStand.open(plan) as stand, _Readers(stand, 1, 1, []) as readers:
        (result,) = await readers.run()
        assert result["seconds"] is not None, f"one client, one node, no fault: {result['errors']}"
        return float(result["seconds"])


async def story(plan: Plan, setting: Setting, alone: float | None) -> Outcome:
    """See the head of the file."""
    pieces = [(index * SLICE, index * SLICE + MIB) for index in range(setting.pieces)]
    wanted = sum(stop - start for start, stop in pieces) or plan.size
    async with (
        FleetStand.open(plan) as stand,
        _Readers(stand, setting.clients, setting.readers, pieces) as readers,
        TaskSet("fault") as tasks,
    ):
        acting = tasks.start(_act(stand, setting), "fault")
        results = await readers.run()
        struck = await acting
        left = await left_over(stand)
        counters = await asyncio.to_thread(stand.origin.counters)
        counted = await _counted(stand)
    gone = struck if setting.fault in TAKES_A_NODE else None
    spared = [one for one in results if one["node"] != struck or setting.fault not in TAKES_A_NODE | HOLDS_A_NODE]
    breaks = [(node, f"n{node}: {text}") for one in results for node, text in one["errors"]]
    return Outcome(
        plan={**asdict(plan), "folder": ""},
        setting=asdict(setting),
        wanted=wanted,
        origin_bytes=counters["bytes"].get("cdn", 0),
        origin_requests=counters["requests"].get("cdn", 0),
        wall=_slowest(results, "seconds"),
        wall_elsewhere=_slowest(spared, "seconds"),
        single=alone,
        first_byte_worst=_slowest(results, "first_byte"),
        clients=len(results),
        complete=sum(one["seconds"] is not None for one in results),
        moved=[text for node, text in breaks if node == gone],
        errors=[text for node, text in breaks if node != gone],
        wrong=sum("WrongByte" in text for _, text in breaks)
        + sum(one["sha256"] not in (None, stand.origin.sha256) for one in results if not pieces),
        sha256_right=sum(one["sha256"] == stand.origin.sha256 for one in results),
        left=left,
        counted=counted,
    )


def _slowest(results: Sequence[dict[str, Any]], what: str) -> float:
    return max((one[what] for one in results if one[what] is not None), default=float("nan"))


async def _act(stand: FleetStand, setting: Setting) -> int | None:
    """Wait for the moment, and do it; the number of the node it was done to."""
    act = FAULTS[setting.fault]
    if act is None:
        return None
    moment = int(setting.at * stand.plan.size)
    while (await asyncio.to_thread(stand.origin.counters))["bytes"].get("cdn", 0) < moment:  # noqa: ASYNC110 - another process
        await asyncio.sleep(_LOOK)
    owner = await stand.owner(moment // SLICE)
    await act(stand, owner, setting.seconds)
    return owner


async def _counted(stand: FleetStand) -> dict[str, dict[str, float]]:
    """What the living nodes have counted, together."""
    pages = []
    for node in stand.nodes:
        with suppress(OSError):  # one that was taken away
            pages.append(await stand.page(node))
    found: dict[str, dict[str, float]] = {}
    for name, (metric, label) in _COUNTED.items():
        sums: dict[str, float] = {}
        for page in pages:
            for key, value in page.by(f"penstock_{metric}", label).items():
                sums[key] = sums.get(key, 0.0) + value
        found[name] = {key: value for key, value in sums.items() if value}
    found["lost"] = {"leases": sum(page.total("penstock_leases_lost_total") for page in pages)}
    return found


class _Readers:
    """The processes of the clients; entered, they are ready."""

    def __init__(self, stand: FleetStand, clients: int, count: int, pieces: list[tuple[int, int]]) -> None:
        """`clients` at each node that runs, by `count` processes."""
        self._stand = stand
        self._clients = clients
        self._count = count
        self._pieces = pieces
        self._processes: list[Process] = []

    async def __aenter__(self) -> _Readers:
        for order in self._orders():
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.trial.readers"), stdin=PIPE, stdout=PIPE, limit=256 * MIB
            )
            self._processes.append(process)
            assert process.stdin is not None and process.stdout is not None  # noqa: PT018
            process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        for process in self._processes:
            assert process.stdout is not None
            said = await process.stdout.readline()
            assert said == b"ready\n", f"a process of clients said {said!r}"
        return self

    async def run(self) -> list[dict[str, Any]]:
        """Let them read; what became of each client."""
        return [one for told in await asyncio.gather(*map(self._one, self._processes)) for one in told]

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _orders(self) -> list[Order]:
        nodes = [(host, int(port)) for host, _, port in (one.address.rpartition(":") for one in self._stand.nodes)]
        origin, size = self._stand.origin, self._stand.plan.size
        everybody = [at for _ in range(self._clients) for at in range(len(nodes))]
        return [
            Order(nodes, share, origin.target, SEED, size, origin.sha256, self._pieces, HASHED, PATIENCE)
            for share in (everybody[number :: self._count] for number in range(self._count))
            if share
        ]

    @staticmethod
    async def _one(process: Process) -> list[dict[str, Any]]:
        out, _ = await process.communicate(b"go\n")
        return list(json.loads(out))
