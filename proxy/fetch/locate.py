"""Locating a file: may the caller read it, which commit is meant, what is it.

One HEAD of the very file, with the caller's own token, answers all three; what it says is kept as long as it is true:
the right for a short while, the commit of a branch for its TTL, the file at a commit for ever. So a pinned commit of a
public repo costs the origin nothing once it is known, and goes on being served while the origin is away.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import Final

from proxy.core.bounded import BoundedDict
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginLied, OriginRefused, PenstockError
from proxy.core.rights import Denied, Plane
from proxy.core.tasks import TaskSet
from proxy.hub.facts import Absent, FileFacts, FoundFile, Moved
from proxy.hub.listings import InfoFacts
from proxy.hub.names import FileTarget, RepoId, Revision

from .coordinator import CacheOutcome, Elsewhere, Located
from .inquiries import Enough, Inquiries, Inquiry
from .ports import Catalogue, Gatekeeper, Origin

MOST_NAMES: Final = 3
"""How often a repo may have been renamed."""
ASKED_AS_NOBODY_EVERY: Final = 3600.0
"""Seconds between two looks, by one worker, whether a repo read with a token is public."""
log = logging.getLogger(__name__)


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

    def __init__(self, gatekeeper: Gatekeeper, catalogue: Catalogue, clock: Clock, freshness: Freshness) -> None:
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
        since = self._catalogue.public_since(repo, plane)
        return since is not None and (origin_away or self._clock.wall() - since < self._freshness.public_ttl)

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
            await self._close(repo, (Plane.FILES,))

    async def unlearn(self, caller: Caller, repo: RepoId, plane: Plane, refusal: OriginRefused) -> None:
        """The origin turned `caller` away from the repo (not from one file or revision of it)."""
        self._gatekeeper.deny(caller, repo, plane, refusal)
        if caller.is_anonymous or not is_about_the_token(refusal):
            await self._close(repo, (plane,) if refusal.code == "GatedRepo" else tuple(Plane))

    async def _close(self, repo: RepoId, planes: tuple[Plane, ...]) -> None:
        """The repo is not for everybody. Rights of callers, refs and listings stay: a stranger must not be able to
        make its members lose them."""
        self._closings.put(repo, self.closings(repo) + 1)
        for plane in planes:
            self._gatekeeper.close(repo, plane)
            if self._catalogue.public_since(repo, plane) is not None:
                await self._catalogue.drop_public(repo, plane)


def is_about_the_token(refusal: OriginRefused) -> bool:
    """Whether the origin refused the credentials themselves, and said nothing of the repo."""
    return refusal.status == 401 and refusal.code is None


def is_about_the_repo(refusal: OriginRefused) -> bool:
    """Whether the refusal would be the same for every file of the repo."""
    if refusal.code in ("EntryNotFound", "RevisionNotFound"):
        return False
    return refusal.status in (401, 403, 451) or refusal.code == "RepoNotFound"


class Locator:
    """Answers `locate` from what is kept, or by one shared HEAD at the origin."""

    def __init__(
        self,
        origin: Origin,
        catalogue: Catalogue,
        rights: Rights,
        inquiries: Inquiries,
        tasks: TaskSet,
        clock: Clock,
        freshness: Freshness,
    ) -> None:
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights
        self._inquiries = inquiries
        self._clock = clock
        self._freshness = freshness
        self._tasks = tasks
        self._asked_as_nobody: BoundedDict[RepoId, float] = BoundedDict(entries=10_000)

    async def locate(self, caller: Caller, target: FileTarget) -> Located | Elsewhere:
        inquiry: Inquiry[Located | Elsewhere] = Inquiry(
            caller,
            f"head {target.repo} {target.revision} {target.path}",
            lambda: self._rights.hold(caller, target.repo, Plane.FILES),
            lambda enough: self._known(caller, target, enough),
            lambda can_wait: self._ask(caller, target, can_wait=can_wait),
            in_a_hurry=True,
        )
        return await self._inquiries.answer(inquiry)

    async def vouch(self, caller: Caller, target: FileTarget) -> Located:
        """A file that `caller` was given the address of before, whatever its repo is called now."""
        for _ in range(MOST_NAMES):
            found = await self.locate(caller, target)
            if isinstance(found, Located):
                return found
            target = found.target
        raise OriginLied("the origin gives one name of a repo after another")

    def _known(self, caller: Caller, target: FileTarget, enough: Enough) -> Located | None:
        """The answer that needs no origin, if what is kept is enough. Raises OriginRefused when that is the answer."""
        if not self._rights.hold(caller, target.repo, Plane.FILES, origin_away=enough is Enough.AWAY):
            return None
        commit, age = target.revision.text, 0.0
        if not target.revision.is_commit:
            ref = self._catalogue.ref(target.repo, target.revision)
            if ref is None:
                return None
            commit, age = ref.commit, max(0.0, self._clock.wall() - ref.checked_at)
            if age >= (self._freshness.ref_ttl if enough is Enough.FRESH else self._freshness.stale_for):
                return None
        facts = self._catalogue.resolution(target.at(commit))
        match facts:
            case None:
                return None
            case Absent():
                raise entry_not_found(target.at(commit))
            case FileFacts():
                cache = CacheOutcome.HIT if enough is Enough.FRESH else CacheOutcome.STALE
                return Located(target.at(commit), facts, cache, int(age))

    async def _ask(self, caller: Caller, target: FileTarget, *, can_wait: bool) -> Located | Elsewhere:
        """Ask the origin, and keep what it says."""
        asked_at, closings = self._clock.wall(), self._rights.closings(target.repo)
        try:
            answer = await self._origin.head_file(target, caller, can_wait=can_wait)
        except OriginRefused as refusal:
            await self._keep_refusal(caller, target, refusal, asked_at)
            raise
        if isinstance(answer, Moved):
            return Elsewhere(answer.target)
        located = await self._keep(target, answer, asked_at)
        await self._rights.learn(caller, target.repo, Plane.FILES, closings)
        if not caller.is_anonymous:
            self._see_whether_public(located.target)
        return located

    async def _keep(self, target: FileTarget, found: FoundFile, asked_at: float) -> Located:
        pinned = target.at(found.commit)
        facts = self._with_key(pinned, found.facts)
        await self._catalogue.keep_resolution(pinned, facts)
        if not target.revision.is_commit:
            await self._catalogue.keep_ref(target.repo, target.revision, found.commit, asked_at)
        return Located(pinned, facts, CacheOutcome.MISS, 0)

    def _see_whether_public(self, target: FileTarget) -> None:
        """Ask once in a while, as nobody, for what a caller with a token was given: most repos are public, and only
        those known to be are served while the origin is away."""
        if self._tasks.is_closing:
            return
        now = self._clock.monotonic()
        asked = self._asked_as_nobody.get(target.repo)
        if (asked is not None and now - asked < ASKED_AS_NOBODY_EVERY) or self._rights.is_public(target.repo):
            return
        self._asked_as_nobody.put(target.repo, now)
        self._tasks.start(self._ask_as_nobody(target), f"see whether {target.repo} is public")

    async def _ask_as_nobody(self, target: FileTarget) -> None:
        with contextlib.suppress(PenstockError):
            await self.locate(ANONYMOUS, target)

    def _with_key(self, pinned: FileTarget, facts: FileFacts) -> FileFacts:
        """`facts`, with the sha256 we found when the file was here before."""
        kept = self._catalogue.resolution(pinned)
        if facts.key is None and isinstance(kept, FileFacts) and (kept.etag, kept.size) == (facts.etag, facts.size):
            return kept
        return facts

    async def _keep_refusal(self, caller: Caller, target: FileTarget, refusal: OriginRefused, asked_at: float) -> None:
        if is_about_the_repo(refusal):
            await self._rights.unlearn(caller, target.repo, Plane.FILES, refusal)
        elif refusal.code == "RevisionNotFound" and not target.revision.is_commit:
            await self._catalogue.drop_ref(target.repo, target.revision)
        elif (commit := absent_at(target, refusal)) is not None:
            await self._catalogue.keep_resolution(target.at(commit), Absent(commit))
            if not target.revision.is_commit:
                await self._catalogue.keep_ref(target.repo, target.revision, commit, asked_at)


def absent_at(target: FileTarget, refusal: OriginRefused) -> str | None:
    """The commit that `target` is missing from, when the Hub said just that: clients take it as true for ever."""
    if refusal.status != 404 or refusal.code != "EntryNotFound" or refusal.commit is None:
        return None
    if not Revision(refusal.commit).is_commit or (target.revision.is_commit and refusal.commit != target.revision.text):
        return None
    return refusal.commit


def entry_not_found(target: FileTarget) -> OriginRefused:
    """What the Hub says of a file that is not in the repo at that commit."""
    return OriginRefused(
        404,
        f"Entry not found: {target.path} is not in {target.repo} at {target.revision}",
        code="EntryNotFound",
        commit=target.revision.text,
    )
