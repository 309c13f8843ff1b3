"""The caches of generic origins, put together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from proxy.catalogue.catalogue import Catalogue
from proxy.cluster.answers import Answers
from proxy.config.origins import OriginSite
from proxy.config.schema import Config
from proxy.core.clock import Clock
from proxy.core.sizes import CHUNK
from proxy.core.tasks import TaskSet
from proxy.fetch.fleet import OncePerFleet, ToldToTheFleet
from proxy.fetch.flight import FlightLimits
from proxy.fetch.flights import Flights
from proxy.fetch.node import OncePerNode
from proxy.fetch.pace import LEAST
from proxy.fetch.ports import Notices
from proxy.fetch.web.among_workers import AmongWorkers
from proxy.fetch.web.cache import WebCache
from proxy.fetch.web.in_fleet import Neighbours, WebLending
from proxy.fetch.web.kept import Rooms
from proxy.fetch.web.leader import Leader
from proxy.fetch.web.on_its_way import NotTwice
from proxy.fetch.web.outcomes import Ring
from proxy.fetch.web.owner import FromOwner, Owner
from proxy.fetch.web.places import MOUNTS
from proxy.fetch.web.shelving import Shelving
from proxy.fetch.web.sources import Alone, Sources
from proxy.front.mounts import Mount
from proxy.origin.web import WebOrigin
from proxy.store.blobstore import BlobStore
from proxy.store.forecasts import Forecasts
from proxy.store.leads import Leads
from proxy.telemetry.telemetry import Telemetry

from .observers import OriginObserver

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Generic:
    """The mounts, and what reads of them for peers in a fleet."""

    mounts: tuple[Mount, ...]
    lending: WebLending | None
    owner: Owner | None


@asynccontextmanager
async def mounts(
    config: Config,
    store: BlobStore,
    catalogue: Catalogue,
    telemetry: Telemetry,
    clock: Clock,
    state: Path,
    ring: OncePerFleet | None,
    fellows: Answers | None,
    writes: Notices | None,
) -> AsyncIterator[Generic]:
    """A cache for each generic origin of `config`; what they have under way ends with them."""
    async with AsyncExitStack() as stack:
        leads, forecasts = None, None
        if config.server.has_parent:
            leads = stack.enter_context(_among_workers(Leads.open, state / "leads"))
            forecasts = stack.enter_context(_among_workers(Forecasts.open, state / "forecasts"))
        tasks = TaskSet("web")
        sources = Sources(tasks, forecasts or Alone())
        stack.push_async_callback(sources.aclose)
        await stack.enter_async_context(tasks)  # ended first: what reads from the sources is a task
        once_per_node, limits = OncePerNode(telemetry), _limits(config)
        filler = NotTwice(once_per_node if ring is None else ToldToTheFleet(once_per_node, ring), sources, clock)
        flights = Flights(store, filler, tasks, clock, limits, ended=sources.settle, eager=False)
        sources.is_flying = flights.is_under_way
        rooms = Rooms(store, flights, sources, clock, config.fetch.progress_timeout)
        owner = None if fellows is None else Owner(clock)
        lending = None if ring is None else WebLending(ring, rooms, limits)
        made = []
        for name, prefix, section in _origins(config):
            opened = WebOrigin.open(section, clock=clock, observer=OriginObserver(telemetry))
            origin = await stack.enter_async_context(opened)
            shelving = Shelving(name, store, catalogue.responses, state / "spool", clock.wall, writes)
            neighbours = None if ring is None else Neighbours(ring, name)
            if lending is not None:
                lending.origins[name] = origin
            leader = Leader(origin, shelving, rooms, clock, telemetry, config.web.longest_unannounced, neighbours)
            once: Ring = leader
            if fellows is not None:
                once = FromOwner(once, leader, fellows, name, shelving, clock)
            if leads is not None:
                once = AmongWorkers(once, leader, leads, shelving, clock)
            cache = WebCache(origin, shelving, leader, once, clock, tasks)
            if owner is not None:
                owner.caches[name] = cache
            made.append(Mount(prefix, section.url, cache))
        yield Generic(tuple(made), lending, owner)


@contextmanager
def _among_workers(opened: Callable[[Path], AbstractContextManager[T]], path: Path) -> Iterator[T | None]:
    """What the workers lock; None when the state disk gives no file for it: then each worker asks for itself."""
    with ExitStack() as stack:
        try:
            locks = stack.enter_context(opened(path))
        except OSError as error:
            log.warning("no locks among workers", extra={"what": path.name, "why": error.strerror})
            locks = None
        yield locks


def _origins(config: Config) -> list[tuple[str, str, OriginSite]]:
    """Name, prefix of its targets, and section of each generic origin.

    Responses are kept under its address, not under the name of its mount: that may come to mean another server."""
    at_root: list[tuple[str, str, OriginSite]] = []
    if config.origin.kind == "http":
        at_root.append((config.origin.url, "", config.origin))
    return [*at_root, *((one.url, f"{MOUNTS}{one.name}", one) for one in config.mounted)]


def places(config: Config) -> tuple[tuple[str, str], ...]:
    """Prefix of its targets, and name, of each generic origin."""
    return tuple((prefix, name) for name, prefix, _ in _origins(config))


def _limits(config: Config) -> FlightLimits:
    section = config.fetch
    return FlightLimits(
        # One answer of the origin runs through many of these; the shorter they are, the sooner a reader elsewhere is
        # served. In a fleet each is a question to a peer, and a request of that peer's to the origin.
        span=section.span if config.cluster.is_on else CHUNK,
        least=LEAST if config.cluster.is_on else None,
        parallel=section.parallel,
        finish_below=section.finish_below,
        progress_timeout=section.progress_timeout,
    )
