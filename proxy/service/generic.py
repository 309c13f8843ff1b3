"""The caches of generic origins, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from proxy.catalogue.catalogue import Catalogue
from proxy.config.origins import OriginSite
from proxy.config.schema import Config
from proxy.core.clock import Clock
from proxy.core.sizes import CHUNK
from proxy.core.tasks import TaskSet
from proxy.fetch.flight import FlightLimits
from proxy.fetch.flights import Flights
from proxy.fetch.node import OncePerNode
from proxy.fetch.web.cache import WebCache
from proxy.fetch.web.kept import Rooms
from proxy.fetch.web.leader import Leader
from proxy.fetch.web.places import MOUNTS
from proxy.fetch.web.shelving import Shelving
from proxy.fetch.web.sources import Sources
from proxy.front.mounts import Mount
from proxy.origin.web import WebOrigin
from proxy.store.blobstore import BlobStore
from proxy.telemetry.telemetry import Telemetry

from .observers import OriginObserver


@asynccontextmanager
async def mounts(
    config: Config, store: BlobStore, catalogue: Catalogue, telemetry: Telemetry, clock: Clock, state: Path
) -> AsyncIterator[tuple[Mount, ...]]:
    """A cache for each generic origin of `config`; what they have under way ends with them."""
    async with AsyncExitStack() as stack:
        tasks = TaskSet("web")
        sources = Sources(tasks)
        stack.push_async_callback(sources.aclose)
        await stack.enter_async_context(tasks)  # ended first: what reads from the sources is a task
        flights = Flights(
            store, OncePerNode(telemetry), tasks, clock, _limits(config), ended=sources.settle, eager=False
        )
        sources.is_flying = flights.is_under_way
        rooms = Rooms(store, flights, sources, clock, config.fetch.progress_timeout)
        made = []
        for name, prefix, section in _origins(config):
            opened = WebOrigin.open(section, clock=clock, observer=OriginObserver(telemetry))
            origin = await stack.enter_async_context(opened)
            shelving = Shelving(name, store, catalogue.responses, state / "spool", clock.wall)
            leader = Leader(origin, shelving, rooms, clock, telemetry, config.web.longest_unannounced)
            made.append(Mount(prefix, section.url, WebCache(origin, shelving, leader, clock, tasks)))
        yield tuple(made)


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
        # served.
        span=CHUNK,
        parallel=section.parallel,
        finish_below=section.finish_below,
        progress_timeout=section.progress_timeout,
    )
