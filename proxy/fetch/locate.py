"""Locating a file: may the caller read it, which commit is meant, what is it.

One HEAD of the very file, with the caller's own token, answers all three; what it says is kept as long as it is true:
the right for a short while, the commit of a branch for its TTL, the file at a commit for ever. So a pinned commit of a
public repo costs the origin nothing once it is known, and goes on being served while the origin is away.
"""

from __future__ import annotations

import contextlib
import logging
import math
from dataclasses import dataclass, replace
from typing import Final, NoReturn, TypeVar

from proxy.core.bounded import BoundedDict
from proxy.core.caller import ANONYMOUS, Caller
from proxy.core.clock import Clock
from proxy.core.errors import (
    BlobDropped,
    DigestMismatch,
    OriginLied,
    OriginRefused,
    PenstockError,
    RangeMangled,
    SlowDown,
    SourceChanged,
)
from proxy.core.rights import Plane
from proxy.core.tasks import TaskSet
from proxy.hub.facts import Absent, FileFacts, FoundFile, Moved
from proxy.hub.names import FileTarget, RepoId, Revision

from .coordinator import CacheOutcome, Elsewhere, Located
from .inquiries import Enough, Inquiries, Inquiry
from .othernames import OtherNames
from .ports import Catalogue, Commons, FileTurn, Origin
from .rights import Freshness, Rights, is_about_the_repo, plane_of
from .together import refused_together, take_ref, tell_ref, tell_refusal

MOST_NAMES: Final = 3
"""How often a repo may have been renamed."""
CONTRADICTIONS: Final = (SourceChanged, RangeMangled, DigestMismatch, BlobDropped)
"""Errors of reading that say: these are not the bytes we were told of. A blob that was dropped may have been whole and
wrong: its readers see the one or the other first."""
DOUBTED: Final = 1000
"""Files remembered of which the origin said what was found wrong."""
DOUBTED_EVERY: Final = 10.0
"""Seconds between two doubts of one file: an origin that goes on lying is not asked by every client."""
ASKED_AS_NOBODY_EVERY: Final = 3600.0
"""Seconds between two looks, by one worker, whether a repo read with a token is public."""
log = logging.getLogger(__name__)

Known = TypeVar("Known", bound=FileFacts | Absent)


@dataclass(slots=True)
class _Doubt:
    since: float
    facts: FileFacts | None
    """What is doubted; None once the origin was asked anew."""


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
        commons: Commons | None = None,
    ) -> None:
        self._other_names = OtherNames(catalogue, rights, clock, freshness)
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights
        self._inquiries = inquiries
        self._commons = commons
        self._clock = clock
        self._freshness = freshness
        self._tasks = tasks
        self._doubted: BoundedDict[FileTarget, _Doubt] = BoundedDict(entries=DOUBTED)
        self._asked_as_nobody: BoundedDict[RepoId, float] = BoundedDict(entries=10_000)

    async def locate(self, caller: Caller, target: FileTarget) -> Located | Elsewhere:
        inquiry: Inquiry[Located | Elsewhere] = Inquiry(
            caller,
            f"head\t{target.repo}\t{target.revision}\t{target.path}",  # tabs: no name holds one, but it may hold blanks
            lambda: self._rights.hold(caller, target.repo, plane_of(target)),
            lambda enough: self._known(caller, target, enough) or self._moved(caller, target, enough),
            lambda can_wait: self._ask(caller, target, can_wait=can_wait),
            in_a_hurry=True,
        )
        return await self._inquiries.answer(inquiry)

    def open_for(self, target: FileTarget) -> float:
        """For how many seconds everybody may read the file still; 0 when that is not known."""
        return self._rights.left(target.repo, plane_of(target))

    async def vouch(self, caller: Caller, target: FileTarget) -> Located:
        """A file that `caller` was given the address of before, whatever its repo is called now."""
        for _ in range(MOST_NAMES):
            found = await self.locate(caller, target)
            if isinstance(found, Located):
                return found
            target = found.target
        raise OriginLied("the origin gives one name of a repo after another")

    async def doubt(self, target: FileTarget, facts: FileFacts) -> None:
        """The bytes of the file at a commit and the `facts` of it cannot both be right: the next who wants it asks the
        origin anew, whatever is told by other nodes."""
        now, known = self._clock.monotonic(), self._doubted.get(target)
        if known is not None and now - known.since < DOUBTED_EVERY:
            return
        self._doubted.put(target, _Doubt(now, facts))
        await self._catalogue.drop_resolution(target)

    def _is_doubted(self, target: FileTarget) -> bool:
        doubt = self._doubted.get(target)
        return doubt is not None and doubt.facts is not None

    def _moved(self, caller: Caller, target: FileTarget, enough: Enough) -> Elsewhere | None:
        other = self._other_names.known(caller, target.repo, plane_of(target), enough)
        return None if other is None else Elsewhere(replace(target, repo=other))

    def _known(self, caller: Caller, target: FileTarget, enough: Enough) -> Located | None:
        """The answer that needs no origin, if what is kept is enough. Raises OriginRefused when that is the answer."""
        if not self._rights.hold(caller, target.repo, plane_of(target), origin_away=enough is Enough.AWAY):
            return None
        commit, age, left = target.revision.text, 0.0, math.inf
        if not target.revision.is_commit:
            ref = self._catalogue.ref(target.repo, target.revision)
            if ref is None:
                return None
            commit, age = ref.commit, max(0.0, self._clock.wall() - ref.checked_at)
            left = self._freshness.ref_ttl - age
            if age >= (self._freshness.ref_ttl if enough is Enough.FRESH else self._freshness.stale_for):
                return None
        facts = self._catalogue.resolution(target.at(commit))
        match facts:
            case None:
                return None
            case Absent():
                raise entry_not_found(target.at(commit))
            case FileFacts():
                if enough is not Enough.FRESH:
                    return Located(target.at(commit), facts, CacheOutcome.STALE, int(age))
                return Located(target.at(commit), facts, CacheOutcome.HIT, int(age), left)

    async def _ask(self, caller: Caller, target: FileTarget, *, can_wait: bool) -> Located | Elsewhere:
        """Ask the origin, and keep what it says; in a fleet, once for all nodes."""
        repo, revision = target.repo, target.revision
        if self._commons is None or not self._rights.is_public(repo):
            return await self._ask_origin(caller, target, can_wait=can_wait)
        async with self._commons.file(target) as turn:
            commit = await take_ref(turn, self._catalogue, repo, revision)
            pinned = None if commit is None else target.at(commit)
            if pinned is not None and turn.facts is not None and not self._is_doubted(pinned):
                await self._catalogue.keep_resolution(pinned, self._with_key(pinned, turn.facts))
            if (known := self._known(caller, target, Enough.FRESH)) is not None:
                return known
            if (refusal := refused_together(turn, caller)) is not None:
                await self._take_refusal(caller, target, refusal)
            try:
                return await self._ask_origin(caller, target, can_wait=can_wait)
            except (OriginRefused, SlowDown) as refused:
                tell_refusal(turn, refused, caller)
                raise
            finally:
                self._tell(turn, target)

    async def _take_refusal(self, caller: Caller, target: FileTarget, refusal: OriginRefused | SlowDown) -> NoReturn:
        if isinstance(refusal, OriginRefused):
            await self._keep_refusal(caller, target, refusal, self._clock.wall())
        raise refusal

    def _tell(self, turn: FileTurn, target: FileTarget) -> None:
        """Tell the other nodes what is known now, if it is for everybody still."""
        if not self._rights.is_public(target.repo):
            return
        commit = tell_ref(turn, self._catalogue, target.repo, target.revision, self._freshness.ref_ttl)
        facts = None if commit is None else self._catalogue.resolution(target.at(commit))
        if commit is not None and facts is not None:
            turn.tell_facts(commit, facts)

    async def _ask_origin(self, caller: Caller, target: FileTarget, *, can_wait: bool) -> Located | Elsewhere:
        asked_at, closings = self._clock.wall(), self._rights.closings(target.repo)
        try:
            answer = await self._origin.head_file(target, caller, can_wait=can_wait)
        except OriginRefused as refusal:
            await self._keep_refusal(caller, target, refusal, asked_at)
            raise
        if isinstance(answer, Moved):
            await self._other_names.learn(target.repo, answer.target.repo)
            return Elsewhere(answer.target)
        located = await self._keep(target, answer, asked_at)
        await self._rights.learn(caller, target.repo, plane_of(target), closings)
        if not caller.is_anonymous:
            self._see_whether_public(located.target)
        return located

    async def _keep(self, target: FileTarget, found: FoundFile, asked_at: float) -> Located:
        pinned = target.at(found.commit)
        facts = self._with_key(pinned, found.facts)
        await self._catalogue.keep_resolution(pinned, facts)
        await self._compare(pinned, facts)
        if not target.revision.is_commit:
            await self._catalogue.keep_ref(target.repo, target.revision, found.commit, asked_at)
        return Located(pinned, facts, CacheOutcome.MISS, 0)

    async def _compare(self, pinned: FileTarget, facts: FileFacts) -> None:
        """What a listing said of a file that was doubted is no better than what was doubted."""
        doubt = self._doubted.get(pinned)
        if doubt is None or doubt.facts is None:
            return
        wrong, doubt.facts = doubt.facts, None
        if (wrong.etag, wrong.size) != (facts.etag, facts.size):
            await self._catalogue.drop_listings(pinned.repo, pinned.revision.text)

    def _see_whether_public(self, target: FileTarget) -> None:
        """Ask once in a while, as nobody, for what a caller with a token was given: most repos are public, and only
        those known to be are served while the origin is away."""
        if self._tasks.is_closing or plane_of(target) is not Plane.FILES:
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

    def _with_key(self, pinned: FileTarget, facts: Known) -> Known | FileFacts:
        """`facts`, with the sha256 we found when the file was here before."""
        kept = self._catalogue.resolution(pinned)
        if not isinstance(facts, FileFacts) or not isinstance(kept, FileFacts) or facts.key is not None:
            return facts
        return kept if (kept.etag, kept.size) == (facts.etag, facts.size) else facts

    async def _keep_refusal(self, caller: Caller, target: FileTarget, refusal: OriginRefused, asked_at: float) -> None:
        if is_about_the_repo(refusal):
            await self._rights.unlearn(caller, target.repo, plane_of(target), refusal)
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
