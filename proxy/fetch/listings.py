"""Metadata of the Hub: repo info, trees, paths, refs, commits; kept where the Hub's promise allows it.

A listing is kept under the commit it is about, so that `main` today and the commit it meant are one entry, and all
pages of one listing come from one commit. Branches are looked up as `locate` does, by the same refs.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import assert_never

from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginAway, OriginLied, OriginRefused, OriginUnreachable
from proxy.core.rights import Plane
from proxy.core.tasks import TaskSet
from proxy.hub import listings as dialect
from proxy.hub import paths
from proxy.hub.facts import Listing, ListingKey, OriginReply
from proxy.hub.headers import Fields
from proxy.hub.links import Link, format_links
from proxy.hub.names import Revision
from proxy.hub.problems import refusal_of
from proxy.hub.targets import Commits, PathsInfo, Refs, RepoInfo, RepoListing, Tree

from .coordinator import CacheOutcome, Metadata
from .locate import ANSWER_WITHIN, Freshness, Rights, is_about_the_repo
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

    def key(self, asker: bytes) -> ListingKey:
        """Under which it is kept: for `asker` alone, or for everybody (b"") who may read it."""
        body = "" if self.body is None else f"\n{self.body.decode()}"
        own = f"\n{asker.hex()}" if asker else ""
        return ListingKey(self.target.repo, paths.render(self.target) + body + own)


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
        advertise_above: int | None = None,
    ) -> None:
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights
        self._store = store
        self._clock = clock
        self._freshness = freshness
        self._advertise_above = advertise_above
        self._calls: SharedCalls[Metadata] = SharedCalls(tasks)

    async def metadata(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        return self._advertised(target, await self._metadata(caller, target, body))

    def _advertised(self, target: RepoListing, answer: Metadata) -> Metadata:
        """`answer`, which is kept without Xet, with the hashes of files that clients shall fetch by Xet."""
        revision = revision_of(target)
        if self._advertise_above is None or revision is None or not isinstance(target, Tree | PathsInfo):
            return answer
        said = next((text for name, text in answer.headers if name == "x-repo-commit"), None)
        commit = commit_of(revision, said)
        if commit is None or answer.status != 200:
            return answer
        hashes = self._catalogue.xet_above(target.repo, commit, self._advertise_above)
        return replace(answer, body=dialect.with_xet(answer.body, hashes)) if hashes else answer

    async def _metadata(self, caller: Caller, target: RepoListing, body: bytes | None) -> Metadata:
        known = self._known(caller, target, body, origin_away=False)
        if known is not None:
            return known
        name = ("listing", caller.identity, target, body)
        joined = self._calls.is_under_way(name)
        # Clients wait for the API as long as it takes: only what can be answered otherwise is not waited for.
        patience = None if self._known(caller, target, body, origin_away=True) is None else ANSWER_WITHIN
        try:
            async with asyncio.timeout(patience):
                answer = await self._calls.run(name, lambda: self._ask(caller, target, body), f"list {target.repo}")
        except (OriginAway, TimeoutError) as away:
            known = self._known(caller, target, body, origin_away=True)
            if known is not None:
                return known
            if isinstance(away, OriginAway):
                raise
            raise OriginUnreachable("the origin takes long to answer; ask again in a moment") from None
        return replace(answer, cache=CacheOutcome.COALESCED) if joined else answer

    async def pass_through(
        self, caller: Caller, method: str, raw_target: str, headers: tuple[tuple[str, str], ...], body: bytes | None
    ) -> Metadata:
        reply = await self._origin.call(method, raw_target, caller, headers=headers, body=body)
        return _answer(dialect.kept(reply, self._clock.wall()), CacheOutcome.BYPASS, 0)

    # --- what is kept -------------------------------------------------------------------------------------------

    def _known(
        self, caller: Caller, target: RepoListing, body: bytes | None, *, origin_away: bool, stale: bool = False
    ) -> Metadata | None:
        """The answer that needs no origin. Raises OriginRefused when a fresh refusal is the answer.

        While the origin is away old answers will do; with `stale` they do too, but only to a right that is fresh."""
        if not self._rights.hold(caller, target.repo, Plane.API, origin_away=origin_away):
            return None
        origin_away = origin_away or stale
        question = self._question(target, body, origin_away=origin_away)
        if question is None:
            return None
        listing = self._catalogue.listing(question.key(self._asker(caller, target)))
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

    def _asker(self, caller: Caller, target: RepoListing) -> bytes:
        """Whose the answer is: b"" when it is everybody's.

        A description may hold what is meant for one member of a private or gated repo (its place in the queue for
        access, what else of theirs uses it); files, refs and histories are the same for all who may see them."""
        if isinstance(target, RepoInfo) and self._catalogue.public_since(target.repo, Plane.FILES) is None:
            return caller.identity
        return b""

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
        asked = question.target if (question := self._question(target, body, origin_away=False)) else target
        can_wait = self._known(caller, target, body, origin_away=False, stale=True) is not None
        try:
            return await self._call(caller, asked, body, can_wait=can_wait)
        except OriginRefused as refusal:
            revision = revision_of(target)
            if refusal.code != "RevisionNotFound" or revision is None or revision.is_commit:
                raise
            await self._catalogue.drop_ref(target.repo, revision)
            if asked == target:
                raise
        # The commit that the branch meant a moment ago is gone (a force push): ask for what it means now.
        return await self._call(caller, target, body, can_wait=False)

    async def _call(self, caller: Caller, asked: RepoListing, body: bytes | None, *, can_wait: bool) -> Metadata:
        method, headers = ("GET", ()) if body is None else ("POST", (("content-type", "application/json"),))
        asked_at, closings = self._clock.wall(), self._rights.closings(asked.repo)
        asking = self._origin.call(method, paths.render(asked), caller, headers=headers, body=body, can_wait=can_wait)
        reply = await asking
        if 300 <= reply.status < 400:
            return _answer(dialect.kept(reply, self._clock.wall()), CacheOutcome.BYPASS, 0)
        if reply.status >= 400:
            refusal = refusal_of(reply.status, reply.headers, reply.body)
            if is_about_the_repo(refusal):
                await self._rights.unlearn(caller, asked.repo, Plane.API, refusal)
            raise refusal
        await self._rights.learn(caller, asked.repo, Plane.API, closings)
        commit = await self._learn(asked, reply, asked_at)
        if isinstance(asked, RepoInfo):
            await self._rights.learn_described(asked.repo, dialect.read_info(reply.body), closings)
        return await self._keep(caller, asked, body, reply, commit)

    async def _keep(
        self, caller: Caller, asked: RepoListing, body: bytes | None, reply: OriginReply, commit: str | None
    ) -> Metadata:
        revision = revision_of(asked)
        if commit is not None and revision is not None and not revision.is_commit:
            asked = at_commit(asked, commit)
        pinned = revision_of(asked)
        immutable = pinned is not None and pinned.is_commit and cannot_change(asked, body)
        listing = dialect.kept(reply, self._clock.wall(), immutable=immutable)
        if commit is not None:
            listing = replace(listing, headers=next_page_at(commit, asked, listing.headers))
        if pinned is None or pinned.is_commit:
            key = _Question(asked, body, pinned, 0.0).key(self._asker(caller, asked))
            await self._catalogue.keep_listing(key, listing)
        return _answer(listing, CacheOutcome.MISS, 0)

    async def _learn(self, asked: RepoListing, reply: OriginReply, asked_at: float) -> str | None:
        """Keep what the answer says by the way: where the revision points, and what files are. Gives its commit."""
        revision = revision_of(asked)
        match asked:
            case RepoInfo():
                commit = commit_of(revision, dialect.read_info(reply.body).commit)
            case Tree(repo) | PathsInfo(repo):
                commit = commit_of(revision, reply.header("x-repo-commit"))
                if commit is not None:
                    await self._catalogue.keep_resolutions(repo, commit, dialect.read_files(reply.body))
            case Commits(_, _, query):
                commit = commit_of(revision, dialect.read_tip(query, reply.body))
            case Refs():
                return None
            case _:
                assert_never(asked)
        if commit is not None and (revision is None or not revision.is_commit):
            await self._catalogue.keep_ref(asked.repo, revision or Revision("main"), commit, asked_at)
        return commit


def revision_of(target: RepoListing) -> Revision | None:
    """The revision a listing is about, if it names one."""
    return None if isinstance(target, Refs) else target.revision


def at_commit(target: RepoListing, commit: str) -> RepoListing:
    """The same listing at `commit`."""
    return target if isinstance(target, Refs) else replace(target, revision=Revision(commit))


def commit_of(revision: Revision | None, said: str | None) -> str | None:
    """The commit an answer is about: the one asked for, else the one it names, if it names one. Raises OriginLied."""
    named = Revision(said).text if said is not None and Revision(said).is_commit else None
    if revision is None or not revision.is_commit:
        return named
    if named not in (None, revision.text):
        raise OriginLied("the origin answered for another commit than the one asked for")
    return revision.text


def next_page_at(commit: str, asked: RepoListing, headers: Fields) -> Fields:
    """`headers` with the next page at `commit`: the pages of a listing are of one commit, though the branch moves."""
    following = dialect.next_target(headers)
    if following is None:
        return headers
    target = paths.parse(following, "GET")
    if not isinstance(target, Tree | Commits) or target.repo != asked.repo:
        return headers
    pinned = Link(paths.render(at_commit(target, commit)), ("next",))
    return (*(field for field in headers if field[0] != "link"), ("link", format_links((pinned,))))


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
