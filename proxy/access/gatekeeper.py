"""The door of access: what each caller was seen to be allowed, by its own token, and for how long that holds.

Rules (DESIGN D3, RELIABILITY §3.5):

    an allow lives allow_ttl, a refusal deny_ttl; after that the origin is asked again
    what one token may says nothing about another
    who may read the files may read the card (the README) too; never the other way round
    what an anonymous caller may, everybody may; never the other way round
    a refusal of the anonymous caller ends what was allowed to it

Rights are in the memory of this process alone: nobody else can forge one, and a restart forgets them all.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from proxy.config.schema import FreshnessSection
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.changes import Changes
from proxy.core.clock import Clock
from proxy.core.errors import OriginRefused
from proxy.core.rights import Denied, Plane
from proxy.hub.names import RepoId

ENTRIES: Final = 100_000
"""Rights remembered at most; the least recently used is forgotten first, which only costs a question."""

_Key = tuple[bytes, RepoId, Plane]


@dataclass(frozen=True, slots=True)
class _Allowed:
    until: float


@dataclass(frozen=True, slots=True)
class _Refused:
    until: float
    refusal: OriginRefused


class Gatekeeper:
    """The rights of all callers of one worker."""

    def __init__(
        self, freshness: FreshnessSection, *, clock: Clock, entries: int = ENTRIES, changes: Changes | None = None
    ) -> None:
        """`changes` counts the rights of everybody that are taken back."""
        self._changes = changes or Changes()
        self._allow_ttl = freshness.allow_ttl
        self._deny_ttl = freshness.deny_ttl
        self._clock = clock
        self._entries = entries
        self._rights: OrderedDict[_Key, _Allowed | _Refused] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rights)

    def standing(self, caller: Caller, repo: RepoId, plane: Plane) -> bool | Denied:
        """True: allowed and fresh. False: not known, ask the origin. Denied: refused a moment ago."""
        opening = (plane, Plane.FILES) if plane is Plane.CARD else (plane,)
        for who in (ANONYMOUS.identity, caller.identity):
            if any(isinstance(self._fresh((who, repo, one)), _Allowed) for one in opening):
                return True
        own = self._fresh((caller.identity, repo, plane))
        return Denied(_afresh(own.refusal)) if isinstance(own, _Refused) else False

    def left(self, repo: RepoId, plane: Plane) -> float:
        """For how many seconds everybody is allowed still; 0 when nobody in particular is known to be."""
        opening = (plane, Plane.FILES) if plane is Plane.CARD else (plane,)
        rights = (self._fresh((ANONYMOUS.identity, repo, one)) for one in opening)
        until = max((right.until for right in rights if isinstance(right, _Allowed)), default=0.0)
        return max(0.0, until - self._clock.monotonic())

    def allow(self, caller: Caller, repo: RepoId, plane: Plane) -> None:
        """The origin has just let `caller` read."""
        self._keep((caller.identity, repo, plane), _Allowed(self._clock.monotonic() + self._allow_ttl))

    def deny(self, caller: Caller, repo: RepoId, plane: Plane, refusal: OriginRefused) -> None:
        """The origin has just refused `caller`; an earlier allow of the same caller is void."""
        until = self._clock.monotonic() + self._deny_ttl
        if caller.is_anonymous and isinstance(self._rights.get((caller.identity, repo, plane)), _Allowed):
            self._changes.happened()
        self._keep((caller.identity, repo, plane), _Refused(until, _afresh(refusal)))

    def close(self, repo: RepoId, plane: Plane) -> None:
        """The repo is not for everybody any more: what anonymous callers were allowed is void."""
        key = (ANONYMOUS.identity, repo, plane)
        if isinstance(self._rights.get(key), _Allowed):
            del self._rights[key]
            self._changes.happened()

    def forget(self, repo: RepoId) -> None:
        """Drop every right to `repo`, so that everybody is judged anew."""
        for key in [key for key in self._rights if key[1] == repo]:
            del self._rights[key]
        self._changes.happened()

    def _fresh(self, key: _Key) -> _Allowed | _Refused | None:
        right = self._rights.get(key)
        if right is None:
            return None
        if self._clock.monotonic() >= right.until:
            del self._rights[key]
            return None
        self._rights.move_to_end(key)
        return right

    def _keep(self, key: _Key, right: _Allowed | _Refused) -> None:
        self._rights[key] = right
        self._rights.move_to_end(key)
        while len(self._rights) > self._entries:
            self._rights.popitem(last=False)


def _afresh(refusal: OriginRefused) -> OriginRefused:
    """The same refusal, never raised yet: an exception kept and raised again would drag every caller's frames along."""
    return OriginRefused(
        refusal.status, refusal.message, code=refusal.code, commit=refusal.commit, headers=refusal.headers
    )
