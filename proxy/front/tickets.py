"""Tickets for single objects: what stands in an address that is asked without an Authorization field."""

from __future__ import annotations

from typing import Final

from proxy.access.signatures import LONGEST, Purpose, Signatures
from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.clock import Clock
from proxy.core.errors import TicketForged
from proxy.core.secret import Secret
from proxy.fetch.coordinator import CacheOutcome, LocatedObject
from proxy.fetch.objects import object_facts
from proxy.hub.names import Counter, ObjectTarget, RepoId, RepoKind

LIFETIME: Final = int(LONGEST)
_PURPOSES: Final = {Counter.LFS: Purpose.LFS, Counter.REGISTRY: Purpose.OCI}


class Tickets:
    """Seals and opens them. `key` makes callers of tokens, as the application's own does."""

    def __init__(self, signatures: Signatures, clock: Clock, key: bytes) -> None:
        self._signatures = signatures
        self._clock = clock
        self._key = key

    def seal(self, target: ObjectTarget, size: int, caller: Caller, *, everybody: bool) -> Secret:
        """For `LIFETIME` seconds the address is all that is needed; a repo that not everybody may read is asked for in
        the caller's name."""
        claims = {"kind": target.repo.kind.value, "name": target.repo.name, "sha256": target.sha256, "size": size}
        token = None if everybody else caller.token
        until = self._clock.wall() + LIFETIME
        return Secret(self._signatures.seal(_PURPOSES[target.counter], claims, until=until, token=token))

    def open(self, ticket: Secret, counter: Counter, sha256: str) -> tuple[LocatedObject, Caller]:
        """The object granted, and in whose name. Raises TicketExpired, TicketForged."""
        said = self._signatures.read(_PURPOSES[counter], ticket)
        if said.claims["sha256"] != sha256:
            raise TicketForged("this address was given out for another object")
        repo = RepoId(RepoKind(said.claims["kind"]), said.claims["name"])
        caller = ANONYMOUS if said.token is None else bearer(said.token, self._key)
        facts = object_facts(sha256, said.claims["size"])
        located = LocatedObject(ObjectTarget(repo, sha256, counter), facts, CacheOutcome.HIT, said.token is None)
        return located, caller
