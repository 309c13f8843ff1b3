"""Rights: what is known here of who may read what, and for how long what the origin said is taken as true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.core.bounded import BoundedDict
from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginRefused
from proxy.core.rights import Denied, Plane
from proxy.hub.listings import InfoFacts
from proxy.hub.names import FileTarget, ObjectTarget, RepoId
from proxy.hub.notices import RepoClosed

from .ports import Catalogue, Gatekeeper, Notices

CARD: Final = "README.md"
"""The one file that the Hub shows of a gated repo to all, who have to know what they ask for. Whoever gets it has
shown nothing of the others."""
_FILES_AND_CARD: Final = (Plane.FILES, Plane.CARD)


def plane_of(target: FileTarget | ObjectTarget) -> Plane:
    """What an answer about `target` says something of."""
    return Plane.CARD if isinstance(target, FileTarget) and target.path == CARD else Plane.FILES


@dataclass(slots=True)
class Freshness:
    """How long what the origin said is taken as true; seconds, see the configuration section `freshness`.

    One instance is shared by all who ask; a reload changes it in place.
    """

    ref_ttl: float
    listing_ttl: float
    stale_for: float
    public_ttl: float

    def become(self, other: Freshness) -> None:
        self.ref_ttl, self.listing_ttl = other.ref_ttl, other.listing_ttl
        self.stale_for, self.public_ttl = other.stale_for, other.public_ttl


class Rights:
    """What is known here of a caller's right to a plane of a repo: its own, or everybody's."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        catalogue: Catalogue,
        clock: Clock,
        freshness: Freshness,
        notices: Notices | None = None,
    ) -> None:
        self._notices = notices
        self._gatekeeper = gatekeeper
        self._catalogue = catalogue
        self._clock = clock
        self._freshness = freshness
        self._closings: BoundedDict[RepoId, int] = BoundedDict(entries=10_000)

    def hold(self, caller: Caller, repo: RepoId, plane: Plane, *, origin_away: bool = False) -> bool:
        """Whether the right is known and fresh. A public repo stays readable while the origin is away; a right of one
        caller does not outlive its TTL. Raises OriginRefused when a refusal is fresh."""
        standing = self._gatekeeper.standing(caller, repo, plane)
        if isinstance(standing, Denied):
            raise standing.refusal
        if standing:
            return True
        since = self._public_since(repo, plane)
        return since is not None and (origin_away or self._clock.wall() - since < self._freshness.public_ttl)

    def _public_since(self, repo: RepoId, plane: Plane) -> float | None:
        own = self._catalogue.public_since(repo, plane)
        if plane is not Plane.CARD:
            return own
        both = (own, self._catalogue.public_since(repo, Plane.FILES))
        return max((since for since in both if since is not None), default=None)

    def left(self, repo: RepoId, plane: Plane) -> float:
        """For how many seconds, at least, everybody holds the right still; 0 when that is not known."""
        if proven := self._gatekeeper.left(repo, plane):
            return proven
        since = self._public_since(repo, plane)
        return 0.0 if since is None else max(0.0, since + self._freshness.public_ttl - self._clock.wall())

    def is_public(self, repo: RepoId) -> bool:
        """Whether everybody was lately seen to be allowed the files."""
        since = self._catalogue.public_since(repo, Plane.FILES)
        return since is not None and self._clock.wall() - since < self._freshness.public_ttl

    def closings(self, repo: RepoId) -> int:
        """How often the repo was seen to be closed: to be taken before a question, and given back with its answer."""
        return self._closings.get(repo) or 0

    def proven(self, caller: Caller, repo: RepoId, plane: Plane) -> bool:
        """Whether the origin itself let `caller` in no longer ago than a right holds."""
        return self._gatekeeper.standing(caller, repo, plane) is True

    async def learn(self, caller: Caller, repo: RepoId, plane: Plane, closings: int) -> None:
        """The origin let `caller` in, asked when `closings` was taken."""
        # 1. nobody asks   2. the repo turns private   3. a stranger asks, is refused   4. nobody's answer arrives
        # without this, it would open the repo again for a day.
        if caller.is_anonymous and closings != self.closings(repo):
            return
        self._gatekeeper.allow(caller, repo, plane)
        if caller.is_anonymous:
            await self._catalogue.keep_public(repo, plane)

    async def learn_described(self, repo: RepoId, info: InfoFacts, closings: int) -> None:
        """The origin described the repo: open to everybody, to some, or its files to some."""
        if info.is_public and closings == self.closings(repo):
            for plane in Plane:
                await self._catalogue.keep_public(repo, plane)
        elif info.private or info.disabled:
            await self._close(repo, tuple(Plane))
        elif info.gated:
            await self._close(repo, _FILES_AND_CARD)

    async def unlearn(self, caller: Caller, repo: RepoId, plane: Plane, refusal: OriginRefused) -> None:
        """The origin turned `caller` away from the repo (not from one file or revision of it)."""
        self._gatekeeper.deny(caller, repo, plane, refusal)
        if caller.is_anonymous or not is_about_the_token(refusal):
            gated = (plane,) if plane is Plane.API else _FILES_AND_CARD
            await self._close(repo, gated if refusal.code == "GatedRepo" else tuple(Plane))

    async def _close(self, repo: RepoId, planes: tuple[Plane, ...]) -> None:
        """The repo is not for everybody. Rights of callers, refs and listings stay: a stranger must not be able to
        make its members lose them."""
        at = self._clock.wall()
        if await self.closed(repo, planes, at) and self._notices is not None:
            self._notices.tell(RepoClosed(repo, planes, at))

    async def closed(self, repo: RepoId, planes: tuple[Plane, ...], at: float) -> bool:
        """The repo was seen to be closed at `at` (wall clock), by us or another node; whether it was open here.

        What was seen later than that stands."""
        self._closings.put(repo, self.closings(repo) + 1)
        was_open = False
        for plane in planes:
            since = self._catalogue.public_since(repo, plane)
            if since is not None and since > at:
                continue
            self._gatekeeper.close(repo, plane)
            if since is not None:
                was_open = True
                await self._catalogue.drop_public(repo, plane)
        return was_open


def is_about_the_token(refusal: OriginRefused) -> bool:
    """Whether the origin refused the credentials themselves, and said nothing of the repo."""
    return refusal.status == 401 and refusal.code is None


def is_about_the_repo(refusal: OriginRefused) -> bool:
    """Whether the refusal would be the same for every file of the repo."""
    if refusal.code in ("EntryNotFound", "RevisionNotFound"):
        return False
    return refusal.status in (401, 403, 451) or refusal.code == "RepoNotFound"
