"""The registry, for ollama and older llama.cpp (HUB-PROTOCOL §5.2, §5.3).

ollama asks for a blob with its credentials and without a range, wants 200 *and* a Location, leaves the body, and
fetches that Location in parts without any credential, never asking for another: the ticket in it is all there is.
"""

from __future__ import annotations

from typing import Final

import orjson

from proxy.core.errors import OriginRefused, TicketExpired
from proxy.fetch.coordinator import Coordinator, LocatedObject, MovedTo
from proxy.hub import oci
from proxy.hub.names import Counter, ObjectTarget
from proxy.hub.paths import render
from proxy.hub.targets import OciBlob, OciManifest

from .answers import Answer, Small
from .conditions import conditions_of
from .object_answers import NOT_KEPT, answer_object, moved_to
from .tickets import LIFETIME, Tickets
from .visit import Visit

_VERSION: Final = ("Docker-Distribution-API-Version", "registry/2.0")
_JSON: Final = ("Content-Type", "application/json")


class OciRoutes:
    """GET and HEAD below `/v2/`."""

    def __init__(self, coordinator: Coordinator, tickets: Tickets) -> None:
        self._coordinator = coordinator
        self._tickets = tickets

    def ping(self) -> Small:
        return Small(200, (_VERSION, _JSON), b"{}")

    def token(self, visit: Visit) -> Small:
        """Where our Bearer challenge leads: the password of a Basic pair is the token, and comes back as one."""
        token = visit.caller.token
        if token is None:
            raise OriginRefused(401, "show a token of the Hub as the password of a Basic pair")
        body = orjson.dumps({"token": token.reveal(), "access_token": token.reveal(), "expires_in": LIFETIME})
        return Small(200, (_JSON, NOT_KEPT), body)

    async def manifest(self, target: OciManifest, visit: Visit) -> Small:
        found = await self._coordinator.manifest(visit.caller, target, oci.agent_of(visit.field("User-Agent")))
        if isinstance(found, MovedTo):
            return moved_to(found)
        content_type = next((text for name, text in found.headers if name == "content-type"), oci.MANIFEST)
        digest = oci.digest_of(found.body)
        headers = (
            _VERSION,
            ("Content-Type", content_type),
            ("Docker-Content-Digest", digest),
            ("ETag", f'"{digest}"'),
            ("Cache-Control", "private, no-cache"),
            ("Vary", "User-Agent"),
            ("Age", str(found.age)),
        )
        return Small(200, headers, found.body, cache=found.cache)

    async def blob(self, target: OciBlob, visit: Visit) -> Answer:
        located = await self._located(target, visit)
        if isinstance(located, MovedTo):
            return moved_to(located)
        where: tuple[tuple[str, str], ...] = ()
        if target.ticket is None and visit.wants_body:
            place = ObjectTarget(target.repo, target.sha256, Counter.REGISTRY)
            ticket = self._tickets.seal(place, located.facts.size, visit.caller, everybody=located.everybody)
            where = (("Location", render(OciBlob(target.repo, target.sha256, ticket))),)
        return answer_object(located, conditions_of(visit), visit.field("Range"), visit.method, whole=where)

    async def _located(self, target: OciBlob, visit: Visit) -> LocatedObject | MovedTo:
        """By its ticket; with one that has run out as if there were none, which will do where everybody may read."""
        if target.ticket is None:
            return await self._coordinator.layer(visit.caller, target)
        try:
            shown = self._tickets.open(target.ticket, Counter.REGISTRY, target.sha256)
        except TicketExpired as expired:
            try:
                return await self._coordinator.layer(visit.caller, target)
            except OriginRefused:
                raise expired from None
        visit.caller = shown.caller
        return await self._coordinator.vouch_for_object(shown.caller, shown.target, shown.size)
