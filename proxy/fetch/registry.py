"""Manifests of the registry: kept for their TTL under the class of who asks, and read for the blobs they name."""

from __future__ import annotations

from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.rights import Plane
from proxy.hub import oci, paths
from proxy.hub.facts import Listing, ListingKey
from proxy.hub.headers import here, passed_back
from proxy.hub.oci import Agent
from proxy.hub.problems import refusal_of
from proxy.hub.targets import OciManifest

from .coordinator import CacheOutcome, Metadata, MovedTo
from .inquiries import Enough, Inquiries, Inquiry
from .objects import Objects
from .ports import Catalogue, Origin
from .rights import Freshness, Rights, is_about_the_repo


class Manifests:
    """Answers `manifest`."""

    def __init__(
        self,
        origin: Origin,
        catalogue: Catalogue,
        rights: Rights,
        objects: Objects,
        inquiries: Inquiries,
        clock: Clock,
        freshness: Freshness,
    ) -> None:
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights
        self._objects = objects
        self._inquiries = inquiries
        self._clock = clock
        self._freshness = freshness

    async def manifest(self, caller: Caller, target: OciManifest, agent: Agent) -> Metadata | MovedTo:
        """The manifest as that class of clients gets it. Raises OriginRefused, OriginAway, OriginLied."""
        inquiry: Inquiry[Metadata | MovedTo] = Inquiry(
            caller,
            f"manifest {target.repo} {target.tag} {agent.name}",
            lambda: self._rights.hold(caller, target.repo, Plane.FILES),
            lambda enough: self._known(caller, target, agent, enough),
            lambda can_wait: self._ask(caller, target, agent, can_wait=can_wait),
        )
        found = await self._inquiries.answer(inquiry)
        if isinstance(found, Metadata):
            await self._objects.keep(target.repo, ((one.sha256, one.size) for one in oci.layers_of(found.body)))
        return found

    def _known(self, caller: Caller, target: OciManifest, agent: Agent, enough: Enough) -> Metadata | None:
        """The answer that needs no origin. Raises OriginRefused when a fresh refusal is the answer."""
        if not self._rights.hold(caller, target.repo, Plane.FILES, origin_away=enough is Enough.AWAY):
            return None
        kept = self._catalogue.listing(manifest_key(target, agent))
        if kept is None:
            return None
        age = max(0.0, self._clock.wall() - kept.stored_at)
        if age >= (self._freshness.listing_ttl if enough is Enough.FRESH else self._freshness.stale_for):
            return None
        return _answer(kept, CacheOutcome.HIT if enough is Enough.FRESH else CacheOutcome.STALE, int(age))

    async def _ask(self, caller: Caller, target: OciManifest, agent: Agent, *, can_wait: bool) -> Metadata | MovedTo:
        fields = (("Accept", agent.accept), ("User-Agent", agent.value))
        closings = self._rights.closings(target.repo)
        reply = await self._origin.call("GET", paths.render(target), caller, headers=fields, can_wait=can_wait)
        if 300 <= reply.status < 400:
            return MovedTo(here(reply.header("location") or ""))
        if reply.status >= 400:
            refusal = refusal_of(reply.status, reply.headers, reply.body)
            if is_about_the_repo(refusal):
                await self._rights.unlearn(caller, target.repo, Plane.FILES, refusal)
            raise refusal
        oci.layers_of(reply.body)
        await self._rights.learn(caller, target.repo, Plane.FILES, closings)
        listing = Listing(reply.status, passed_back(reply.headers), reply.body, self._clock.wall(), immutable=False)
        await self._catalogue.keep_listing(manifest_key(target, agent), listing)
        return _answer(listing, CacheOutcome.MISS, 0)


def manifest_key(target: OciManifest, agent: Agent) -> ListingKey:
    """Under which a manifest is kept, for one class of clients."""
    return ListingKey(target.repo, f"{paths.render(target)}\n{agent.name}")


def _answer(listing: Listing, cache: CacheOutcome, age: int) -> Metadata:
    return Metadata(listing.status, listing.headers, listing.body, None, cache, age)
