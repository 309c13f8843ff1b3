"""Metadata of the Hub: repo info, trees, paths, refs, commits; kept where the Hub's promise allows it.

A listing is kept under the commit it is about, so that `main` today and the commit it meant are one entry, and all
pages of one listing come from one commit. Branches are looked up as `locate` does, by the same refs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import assert_never

from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginAway
from proxy.core.rights import Plane
from proxy.core.tasks import TaskSet
from proxy.hub import listings as dialect
from proxy.hub import paths
from proxy.hub.facts import Listing, ListingKey, OriginReply
from proxy.hub.names import Revision
from proxy.hub.problems import refusal_of
from proxy.hub.targets import Commits, PathsInfo, Refs, RepoInfo, RepoListing, Tree

from .coordinator import CacheOutcome, Metadata
from .locate import Freshness, Rights, is_about_the_repo
from .ports import BlobStore, Catalogue, Origin
from .shared import SharedCalls

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    """A listing as it will be asked and kept: at a commit, where the revision's commit is known."""

    target: RepoListing
    body: bytes | None
    revision: Revision | None
    """The revision asked for, None for a listing that has none (refs, info of the default branch)."""
    age: float
    """Seconds since the origin confirmed that `revision` means the commit in `target`."""

    @property
    def key(self) -> ListingKey:
        suffix = "" if self.body is None else f"\n{self.body.decode()}"
        return ListingKey(self.target.repo, paths.render(self.target) + suffix)


class Listings:
    """Answers `metadata` and `pass_through`."""

    def __init__(
        self,
        origin: Origin,
        catalogue: Catalogue,
        rights: Rights,
        store: BlobStore,
        tasks: TaskSet,
        clock: Clock,
        freshness: Freshness,
    ) -> None:
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights
        self._store = store
        self._clock = clock
        self._freshness = freshness
        self._calls: SharedCalls[Metadata] = SharedCalls(tasks)

    async def metadata(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        known = self._known(caller, target, body, origin_away=False)
        if known is not None:
            return known
        name = ("listing", caller.identity, target, body)
        joined = self._calls.is_under_way(name)
        try:
            answer = await self._calls.run(name, lambda: self._ask(caller, target, body), f"list {target.repo}")
        except OriginAway:
            known = self._known(caller, target, body, origin_away=True)
            if known is None:
                raise
            return known
        return replace(answer, cache=CacheOutcome.COALESCED) if joined else answer

    async def pass_through(
        self, caller: Caller, method: str, raw_target: str, headers: tuple[tuple[str, str], ...], body: bytes | None
    ) -> Metadata:
        reply = await self._origin.call(method, raw_target, caller, headers=headers, body=body)
        return _answer(dialect.kept(reply, self._clock.wall()), CacheOutcome.BYPASS, 0)

    # --- what is kept -------------------------------------------------------------------------------------------

    def _known(self, caller: Caller, target: RepoListing, body: bytes | None, *, origin_away: bool) -> Metadata | None:
        """The answer that needs no origin. Raises OriginRefused when a fresh refusal is the answer."""
        if not self._rights.hold(caller, target.repo, Plane.API, origin_away=origin_away):
            return None
        question = self._question(target, body, origin_away=origin_away)
        if question is None:
            return None
        listing = self._catalogue.listing(question.key)
        if listing is None or not self._is_fresh(question, listing, origin_away=origin_away):
            return None
        cache = CacheOutcome.STALE if origin_away else CacheOutcome.HIT
        age = question.age if listing.immutable else max(question.age, self._age(listing.stored_at))
        return _answer(listing, cache, int(age))

    def _question(self, target: RepoListing, body: bytes | None, *, origin_away: bool) -> _Question | None:
        """`target` at the commit its revision is known to mean; None when that is not known."""
        revision = revision_of(target)
        if revision is None or revision.is_commit:
            return _Question(target, body, revision, 0.0)
        ref = self._catalogue.ref(target.repo, revision)
        if ref is None:
            return None
        age = self._age(ref.checked_at)
        if age >= (self._freshness.stale_for if origin_away else self._freshness.ref_ttl):
            return None
        return _Question(at_commit(target, ref.commit), body, revision, age)

    def _is_fresh(self, question: _Question, listing: Listing, *, origin_away: bool) -> bool:
        if listing.immutable:
            return True
        if origin_away:
            limit = self._freshness.stale_for
        elif question.revision is None:
            limit = self._freshness.ref_ttl
        elif question.revision.is_commit:
            # Asked for by commit: the files cannot change, and counters a day old are worth no call to the origin.
            limit = self._freshness.public_ttl
        else:
            limit = self._freshness.listing_ttl
        return self._age(listing.stored_at) < limit

    def _age(self, since: float) -> float:
        return max(0.0, self._clock.wall() - since)

    # --- asking the origin --------------------------------------------------------------------------------------

    async def _ask(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        raw = paths.render(target)
        async with self._store.once(f"list:{caller.identity.hex()}:{raw}"):
            # Look again now that we are inside: another worker may have asked while we waited for the lock.
            known = self._known(caller, target, body, origin_away=False)
            if known is not None:
                return known
            return await self._fetch(caller, target, body)

    async def _fetch(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        question = self._question(target, body, origin_away=False)
        asked = question.target if question else target
        method = "GET" if body is None else "POST"
        headers = () if body is None else (("content-type", "application/json"),)
        reply = await self._origin.call(method, paths.render(asked), caller, headers=headers, body=body)
        if 300 <= reply.status < 400:
            return _answer(dialect.kept(reply, self._clock.wall()), CacheOutcome.BYPASS, 0)
        if reply.status >= 400:
            refusal = refusal_of(reply.status, reply.headers, reply.body)
            if is_about_the_repo(refusal):
                await self._rights.unlearn(caller, target.repo, Plane.API, refusal)
            raise refusal
        await self._rights.learn(caller, target.repo, Plane.API)
        return await self._keep(caller, asked, body, reply)

    async def _keep(self, caller: Caller, asked: RepoListing, body: bytes | None, reply: OriginReply) -> Metadata:
        commit = await self._learn(asked, reply)
        revision = revision_of(asked)
        if commit is not None and revision is not None and not revision.is_commit:
            asked = at_commit(asked, commit)
        pinned = revision_of(asked)
        immutable = pinned is not None and pinned.is_commit and cannot_change(asked, body)
        listing = dialect.kept(reply, self._clock.wall(), immutable=immutable)
        if pinned is None or pinned.is_commit:
            await self._catalogue.keep_listing(_Question(asked, body, pinned, 0.0).key, listing)
        return _answer(listing, CacheOutcome.MISS, 0)

    async def _learn(self, asked: RepoListing, reply: OriginReply) -> str | None:
        """Keep what the answer says by the way: where the revision points, that the repo is public, what files are."""
        revision = revision_of(asked)
        commit = revision.text if revision is not None and revision.is_commit else None
        match asked:
            case RepoInfo(repo):
                info = dialect.read_info(reply.body)
                commit = info.commit or commit
                if commit is not None and not (revision is not None and revision.is_commit):
                    await self._catalogue.keep_ref(repo, revision or Revision("main"), commit)
                if info.is_public:
                    await self._rights.learn_public(repo)
            case Tree(repo) | PathsInfo(repo):
                commit = commit or reply.header("x-repo-commit")
                if commit is not None:
                    await self._catalogue.keep_resolutions(repo, commit, dialect.read_files(reply.body))
            case Commits() | Refs():
                pass
            case _:
                assert_never(asked)
        return commit


def revision_of(target: RepoListing) -> Revision | None:
    """The revision a listing is about, if it names one."""
    return None if isinstance(target, Refs) else target.revision


def at_commit(target: RepoListing, commit: str) -> RepoListing:
    """The same listing at `commit`."""
    return target if isinstance(target, Refs) else replace(target, revision=Revision(commit))


def cannot_change(target: RepoListing, body: bytes | None) -> bool:
    """Whether the answer at a commit is the same for ever: trees and paths without scan results, and histories."""
    match target:
        case Tree():
            return ("expand", "true") not in target.query
        case PathsInfo():
            return body is not None and not dialect.asks_expanded(body)
        case Commits():
            return True
        case RepoInfo() | Refs():
            return False
        case _:
            assert_never(target)


def _answer(listing: Listing, cache: CacheOutcome, age: int) -> Metadata:
    headers = tuple((name, value) for name, value in listing.headers if name != "link")
    return Metadata(listing.status, headers, listing.body, dialect.next_target(listing.headers), cache, age)
