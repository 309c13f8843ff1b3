"""The only file that constructs everything: a node, out of the rooms."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from proxy.access.gatekeeper import Gatekeeper
from proxy.access.signatures import Signatures
from proxy.catalogue.catalogue import Catalogue
from proxy.cluster.cluster import Cluster
from proxy.config.schema import Config
from proxy.core.blob import BlobKey
from proxy.core.changes import Changes
from proxy.core.clock import SystemClock
from proxy.core.tasks import TaskSet
from proxy.fetch.fleet import OncePerFleet
from proxy.fetch.flight import FlightLimits
from proxy.fetch.mirror import Mirror
from proxy.fetch.pace import LEAST
from proxy.fetch.purging import RepoPurges
from proxy.fetch.rights import Freshness
from proxy.fetch.web.purging import ResponsePurges
from proxy.front.application import make_data_server
from proxy.front.cold import ColdReader
from proxy.front.gate import Gate
from proxy.front.limits import Limits
from proxy.front.listener import Listener, listen
from proxy.hub.notices import Notice
from proxy.origin.client import OriginClient
from proxy.store.blobstore import BlobStore, DiskStatus
from proxy.store.disk import DiskState
from proxy.telemetry.telemetry import Telemetry

from . import generic
from .certificate import Certificate
from .cluster_api import cluster_status
from .node import BACKLOG, Node
from .observers import FleetObserver, FrontObserver, OriginObserver, StoreObserver
from .operations.desk import Desk, Scrubbing
from .operations.explain_right import Access
from .operations.responses import ResponseDesk
from .operations.shape import Reply
from .system import share_of_open_files
from .weight import node_weight

log: Final = logging.getLogger(__name__)

_COLD_THREADS: Final = 16
"""Threads per disk that wait for pages that are not in memory."""
_GAUGES_EVERY: Final = 2.0


@asynccontextmanager
async def assemble(
    config: Config, worker_index: int, listen_socket: socket.socket, telemetry: Telemetry
) -> AsyncIterator[Node]:
    """A node of `config` that listens on the bound `listen_socket`. See `node.Assemble`."""
    clock, changes = SystemClock(), Changes()
    certificate = Certificate.of(config.server)
    async with (
        BlobStore.open(
            config.store,
            clock=clock,
            node=_node_id(config),
            worker=worker_index,
            observer=StoreObserver(telemetry),
            changes=changes,
        ) as store,
        Catalogue.open(state_folder(config), clock=clock, changes=changes) as catalogue,
        OriginClient.open(
            config.origin, clock=clock, observer=OriginObserver(telemetry), xet_folder=state_folder(config) / "xet"
        ) as origin,
        _fleet(config, node_weight(config.store), FleetObserver(telemetry)) as fleet,
        _ring(config, fleet, FleetObserver(telemetry), clock) as ring,
        generic.mounts(
            config,
            store,
            catalogue,
            telemetry,
            clock,
            state_folder(config),
            ring,
            None if fleet is None else fleet.answers,
            None if fleet is None or fleet.shared is None else fleet.shared.writes,
        ) as web,
        TaskSet("mirror") as tasks,
    ):
        shared = None if fleet is None else fleet.shared
        if fleet is not None:
            store.keep_longer(fleet.owns)
        gatekeeper, identities = Gatekeeper(config.freshness, clock=clock, changes=changes), secrets.token_bytes(32)
        mirror = Mirror(
            store=store,
            catalogue=catalogue,
            gatekeeper=gatekeeper,
            origin=origin,
            tasks=tasks,
            clock=clock,
            freshness=_freshness(config),
            limits=_flight_limits(config),
            read_ahead=config.fetch.read_ahead,
            observer=telemetry,
            advertise_above=config.xet.advertised_above,
            ring=ring,
            commons=None if shared is None else shared.commons,
            notices=None if shared is None else shared.notices,
        )
        notices = None if shared is None else shared.notices
        purges = ResponsePurges(catalogue.responses, store, notices)
        repo_purges = RepoPurges(catalogue, mirror.freshness, clock, notices)
        if shared is not None:
            origin.budget.share_with(shared.allowances)
            shared.allowances.listen(origin.budget.hear)
            shared.notices.listen(_each(mirror.hear, purges.hear, repo_purges.hear))
            shared.writes.listen(purges.hear)
        limits = Limits.of(config.limits)
        cold = ColdReader(threads=_COLD_THREADS, patience=limits.read_timeout)
        desk = Desk(
            mirror=mirror,
            store=store,
            catalogue=catalogue,
            state=state_folder(config),
            clock=clock,
            scrubbing=_scrubbing(config),
            scrub_ended=telemetry.scrub_ended,
            imported=telemetry.imported,
            responses=ResponseDesk(generic.places(config), catalogue.responses, purges, clock),
            purges=repo_purges,
            fleet=fleet,
            access=Access(gatekeeper, origin.budget, identities, config),
        )
        running = RunningNode(store, mirror, cold, telemetry, await store.snapshot(), fleet, tasks, desk)
        gate = make_data_server(
            mirror,
            limits,
            cold,
            observer=FrontObserver(telemetry, clock),
            tracer=telemetry.tracer,
            clock=clock,
            external_url=config.server.external_url,
            xet=config.xet,
            signatures=Signatures.open(state_folder(config), clock=clock, file=config.server.secret_file),
            ready=lambda: tuple(running.ready()),
            signer=None if fleet is None else fleet.signer,
            mounts=web.mounts,
            lending=web.lending,
            owner=web.owner,
            hot=config.hot,
            changes=changes,
            identities=identities,
        )
        running.gate = gate
        running.certificate = certificate
        tls = None if certificate is None else certificate.context
        running.listener = await listen(gate, listen_socket, tls=tls, backlog=BACKLOG)
        tasks.start(running.keep_gauges(), "gauges")
        desk.start(tasks)
        try:
            yield running
        finally:
            running.listener.close()
            gate.abort()


class RunningNode:
    """What the processes see of a node (`node.Node`)."""

    gate: Gate
    listener: Listener
    certificate: Certificate | None

    def __init__(
        self,
        store: BlobStore,
        mirror: Mirror,
        cold: ColdReader,
        telemetry: Telemetry,
        disks: tuple[DiskStatus, ...],
        fleet: Cluster | None,
        tasks: TaskSet,
        desk: Desk,
    ) -> None:
        self._desk = desk
        self._store = store
        self._mirror = mirror
        self._cold = cold
        self._telemetry = telemetry
        self._disks = disks
        self._fleet = fleet
        self._tasks = tasks
        self._retired = False

    def ready(self) -> list[str]:
        if self._retired:
            return ["draining"]
        if all(disk.state is DiskState.OUT for disk in self._disks):
            return [f"disk {disk.path} is out: {disk.reason}" for disk in self._disks]
        return []

    def retire(self) -> None:
        self._retired = True
        self.hand_over()

    def hand_over(self) -> None:
        if self._fleet is not None:
            self._fleet.membership.drain()

    def purge(self, key: BlobKey) -> None:
        if not self._tasks.is_closing:
            self._tasks.start(self._mirror.purge(key), "purge")

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        return await self._desk.operations.carry_out(verb, arguments)

    async def drain(self, *, gently: bool = False) -> None:
        if not gently:
            self.retire()
        self.listener.close()
        await self.gate.drain(gently=gently)

    def reload(self, config: Config) -> None:
        """Freshness, connection limits and the pace of scrubbing are read anew with the next request; the certificate
        is what its files hold now."""
        self._mirror.freshness.become(_freshness(config))
        self.gate.limits = Limits.of(config.limits)
        self._desk.scrubbing = _scrubbing(config)
        if self.certificate is not None:
            try:
                self.certificate.take_over()
            except OSError as error:
                log.error("certificate refused, the former one stays", extra={"why": str(error)})

    def status(self) -> dict[str, Any]:
        return {
            "disks": [
                {
                    "name": disk.name,
                    "path": disk.path,
                    "state": disk.state.value,
                    "reason": disk.reason,
                    "size": disk.limit,
                    "stored": disk.stored,
                    "reserved": disk.reserved,
                    "pinned": disk.pinned,
                    "objects": disk.objects,
                    "free": disk.free,
                }
                for disk in self._disks
            ],
            "flights": len(self._mirror.flights),
            "followers": self._mirror.flights.readers,
            "connections": len(self.gate),
            "cluster": None if self._fleet is None else cluster_status(self._fleet.membership),
        }

    async def keep_gauges(self) -> None:
        """Look at the disks every few seconds: for readiness, the status page and the gauges."""
        while True:
            self._disks = await self._store.snapshot()
            for disk in self._disks:
                self._telemetry.disk(
                    disk.name,
                    cache_bytes=disk.stored,
                    cache_reserved_bytes=disk.reserved,
                    cache_capacity_bytes=disk.limit,
                    cache_objects=disk.objects,
                    cache_pinned_bytes=disk.pinned,
                    disk_free_bytes=disk.free,
                    disk_up=float(disk.state is not DiskState.OUT),
                    disk_writable=float(disk.takes),
                    disk_calls=disk.calls,
                )
            self._telemetry.cold_reads(self._cold.waiting)
            self._telemetry.open_files(await asyncio.to_thread(share_of_open_files))
            self._telemetry.scrub_interval(self._desk.scrubbing.every or 0.0)
            if self.certificate is not None:
                self._telemetry.certificate_ends(self.certificate.ends)
            self._desk.catalogue.see_forgets()
            await asyncio.sleep(_GAUGES_EVERY)


@asynccontextmanager
async def _fleet(config: Config, weight: int, observer: FleetObserver) -> AsyncIterator[Cluster | None]:
    """The other nodes, where there may be any."""
    if not config.cluster.is_on:
        yield None
        return
    opened = Cluster.open(
        config.cluster, weight=weight, boot=_node_life(config), clock=SystemClock(), observer=observer
    )
    async with opened as fleet:
        yield fleet


def _each(*hearers: Callable[[Notice], Awaitable[None]]) -> Callable[[Notice], Awaitable[None]]:
    """Each of them is told."""

    async def hear(notice: Notice) -> None:
        for one in hearers:
            await one(notice)

    return hear


@asynccontextmanager
async def _ring(
    config: Config, fleet: Cluster | None, observer: FleetObserver, clock: SystemClock
) -> AsyncIterator[OncePerFleet | None]:
    """One for all that is read: the Hub's blobs and those of generic origins."""
    section = config.cluster
    yield (
        None
        if fleet is None
        else OncePerFleet(
            fleet,
            observer,
            clock,
            floor=section.rate_floor,
            window=section.progress_timeout,
            prove_after=section.prove_after,
        )
    )


def state_folder(config: Config) -> Path:
    """Where the catalogue lives."""
    return config.store.state or config.store.disks[0].path / "state"


def _node_id(config: Config) -> str:
    """The same for all workers of one node: its parent process, or this one when it is alone."""
    return f"{os.getppid() if config.server.has_parent else os.getpid()}"


def _node_life(config: Config) -> str:
    """One life of the node, the same for all its workers: another with every start of its first process."""
    process = _node_id(config)
    machine = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    began = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    return f"{machine}-{process}-{began}"


def _scrubbing(config: Config) -> Scrubbing:
    return Scrubbing(config.store.scrub_every, config.store.scrub_rate)


def _freshness(config: Config) -> Freshness:
    section = config.freshness
    return Freshness(
        ref_ttl=section.ref_ttl,
        listing_ttl=section.listing_ttl,
        stale_for=section.stale_for,
        public_ttl=section.public_ttl,
    )


def _flight_limits(config: Config) -> FlightLimits:
    section = config.fetch
    return FlightLimits(
        span=section.span,
        parallel=section.parallel,
        finish_below=section.finish_below,
        progress_timeout=section.progress_timeout,
        least=LEAST,
    )
