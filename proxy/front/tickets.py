"""Tickets for single objects: what stands in an address that is asked without an Authorization field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.access.signatures import LONGEST, Purpose, Signatures
from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.clock import Clock
from proxy.core.errors import TicketForged
from proxy.core.secret import Secret
from proxy.hub.names import Counter, ObjectTarget, RepoId, RepoKind

_PURPOSES: Final = {Counter.LFS: Purpose.LFS, Counter.REGISTRY: Purpose.OCI}
LIFETIME: Final = int(min(LONGEST[purpose] for purpose in _PURPOSES.values()))


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who brings a ticket, and for what: a right that was proven when it was given out, and has to hold still."""

    caller: Caller
    target: ObjectTarget
    size: int


class Tickets:
    """Seals and opens them. `key` makes callers of tokens, as the application's own does."""

    def __init__(self, signatures: Signatures, clock: Clock, key: bytes) -> None:
        self._signatures = signatures
        self._clock = clock
        self._key = key

    def seal(self, target: ObjectTarget, size: int, caller: Caller, *, everybody: bool) -> Secret:
        """For `LIFETIME` seconds the address stands for the caller; for nobody in particular where everybody may
        read."""
        claims = {"kind": target.repo.kind.value, "name": target.repo.name, "sha256": target.sha256, "size": size}
        token = None if everybody else caller.token
        until = self._clock.wall() + LIFETIME
        return Secret(self._signatures.seal(_PURPOSES[target.counter], claims, until=until, token=token))

    def open(self, ticket: Secret, counter: Counter, sha256: str) -> Bearer:
        """Raises TicketExpired, TicketForged."""
        said = self._signatures.read(_PURPOSES[counter], ticket)
        if said.claims["sha256"] != sha256:
            raise TicketForged("this address was given out for another object")
        repo = RepoId(RepoKind(said.claims["kind"]), said.claims["name"])
        caller = ANONYMOUS if said.token is None else bearer(said.token, self._key)
        return Bearer(caller, ObjectTarget(repo, sha256, counter), said.claims["size"])
