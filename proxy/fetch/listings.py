"""Metadata of the Hub: repo info, trees, paths, refs, commits; kept where the Hub's promise allows it.

A listing is kept under the commit it is about, so that `main` today and the commit it meant are one entry, and all
pages of one listing come from one commit. Branches are looked up as `locate` does, by the same refs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NoReturn, assert_never

from proxy.core.bounded import BoundedDict
from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginLied, OriginRefused, SlowDown
from proxy.core.rights import Plane
from proxy.core.sizes import KIB
from proxy.hub import listings as dialect
from proxy.hub import paths
from proxy.hub.facts import Listing, ListingKey, OriginReply
from proxy.hub.names import Revision
from proxy.hub.problems import refusal_of
from proxy.hub.targets import Commits, PathsInfo, Refs, RepoInfo, RepoListing, Tree

from .coordinator import CacheOutcome, Metadata
from .inquiries import Enough, Inquiries, Inquiry
from .othernames import OtherNames, other_name
from .ports import Catalogue, Commons, ListingTurn, Origin
from .questions import Question, at_commit, cannot_change, commit_of, lifetime, next_page_at, revision_of
from .rights import Freshness, Rights, is_about_the_repo
from .together import refused_together, take_ref, tell_ref, tell_refusal

OWN: Final = 64
LARGEST_OWN: Final = 512 * KIB
"""Descriptions meant for one caller are kept in memory, so many of so many bytes at most: 32 MiB in a worker."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Listings:
    """Answers `metadata` and `pass_through`."""

    def __init__(
        self,
        origin: Origin,
        catalogue: Catalogue,
        rights: Rights,
        inquiries: Inquiries,
        clock: Clock,
        freshness: Freshness,
        advertise_above: int | None = None,
        commons: Commons | None = None,
    ) -> None:
        self._other_names = OtherNames(catalogue, rights, clock, freshness)
        self._commons = commons
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights
        self._inquiries = inquiries
        self._clock = clock
        self._freshness = freshness
        self._advertise_above = advertise_above
        self._own: BoundedDict[tuple[bytes, ListingKey], Listing] = BoundedDict(entries=OWN)

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
        key = Question(target, body, None, 0.0).key
        inquiry = Inquiry(
            caller,
            f"list {key.repo} {key.text}",
            lambda: not self._is_own(target) and self._rights.hold(caller, target.repo, Plane.API),
            lambda enough: (
                self._known(caller, target, body, enough) or self._other_names.redirect(caller, target, enough)
            ),
            lambda can_wait: self._ask(caller, target, body, can_wait=can_wait),
        )
        return await self._inquiries.answer(inquiry)

    async def pass_through(
        self, caller: Caller, method: str, raw_target: str, headers: tuple[tuple[str, str], ...], body: bytes | None
    ) -> Metadata:
        reply = await self._origin.call(method, raw_target, caller, headers=headers, body=body)
        if reply.status in _REDIRECTS:
            return self._redirect(reply)
        return _answer(dialect.kept(reply, self._clock.wall()), CacheOutcome.BYPASS, 0)

    def _redirect(self, reply: OriginReply) -> Metadata:
        """The redirect, to a place of the mirror's own. Raises OriginLied when it leads anywhere else."""
        kept = dialect.kept(reply, self._clock.wall())
        if not any(name == "location" for name, _ in kept.headers):
            raise OriginLied("the origin redirects to a place that is none of the Hub's, and clients are not led there")
        return _answer(kept, CacheOutcome.BYPASS, 0)

    # --- what is kept -------------------------------------------------------------------------------------------

    def _known(self, caller: Caller, target: RepoListing, body: bytes | None, enough: Enough) -> Metadata | None:
        """The answer that needs no origin. Raises OriginRefused when a fresh refusal is the answer."""
        if not self._rights.hold(caller, target.repo, Plane.API, origin_away=enough is Enough.AWAY):
            return None
        question = self._question(target, body, enough)
        if question is None:
            return None
        listing = self._kept(caller, question)
        if listing is None or self._age(listing.stored_at) >= self._lifetime(question, listing, enough):
            return None
        cache = CacheOutcome.HIT if enough is Enough.FRESH else CacheOutcome.STALE
        age = question.age if listing.immutable else max(question.age, self._age(listing.stored_at))
        return _answer(listing, cache, int(age))

    def _question(self, target: RepoListing, body: bytes | None, enough: Enough) -> Question | None:
        """`target` at the commit its revision is known to mean; None when that is not known."""
        revision = revision_of(target)
        if revision is None or revision.is_commit:
            return Question(target, body, revision, 0.0)
        ref = self._catalogue.ref(target.repo, revision)
        if ref is None:
            return None
        age = self._age(ref.checked_at)
        if age >= (self._freshness.ref_ttl if enough is Enough.FRESH else self._freshness.stale_for):
            return None
        return Question(at_commit(target, ref.commit), body, revision, age)

    def _lifetime(self, question: Question, listing: Listing, enough: Enough) -> float:
        """Seconds that the listing is good for."""
        if enough is not Enough.FRESH and not listing.immutable:
            return self._freshness.stale_for
        return lifetime(question, listing, self._freshness)[0]

    def _kept(self, caller: Caller, question: Question) -> Listing | None:
        if self._is_own(question.target):
            return self._own.get((caller.identity, question.key))
        return self._catalogue.listing(question.key)

    async def _keep_for(self, caller: Caller, question: Question, listing: Listing) -> None:
        if not self._is_own(question.target):
            await self._catalogue.keep_listing(question.key, listing)
        elif len(listing.body) <= LARGEST_OWN:
            self._own.put((caller.identity, question.key), listing)

    def _is_own(self, target: RepoListing) -> bool:
        """Whether the answer is the caller's alone, and kept in memory.

        A description may hold what is meant for one member of a private or gated repo (its place in the queue for
        access, what else of theirs uses it); files, refs and histories are the same for all who may see them."""
        return isinstance(target, RepoInfo) and self._catalogue.public_since(target.repo, Plane.FILES) is None

    def _age(self, since: float) -> float:
        return max(0.0, self._clock.wall() - since)

    # --- asking the origin --------------------------------------------------------------------------------------

    async def _ask(self, caller: Caller, target: RepoListing, body: bytes | None, *, can_wait: bool) -> Metadata:
        """Ask the origin, and keep what it says; in a fleet, once for all nodes."""
        if self._commons is None or not self._rights.is_public(target.repo):
            return await self._ask_origin(caller, target, body, can_wait=can_wait)
        asked = Question(target, body, None, 0.0)
        async with self._commons.listing(asked.key, revision_of(target), lambda commit: asked.at(commit).key) as turn:
            await self._take(turn, asked)
            if (known := self._known(caller, target, body, Enough.FRESH)) is not None:
                return known
            if (refusal := refused_together(turn, caller)) is not None:
                await self._take_refusal(caller, target, refusal)
            try:
                return await self._ask_origin(caller, target, body, can_wait=can_wait)
            except (OriginRefused, SlowDown) as refused:
                tell_refusal(turn, refused, caller)
                raise
            finally:
                self._tell(turn, target, body)

    async def _take(self, turn: ListingTurn, asked: Question) -> None:
        """Keep what another node found, and what it says by the way."""
        repo, revision = asked.target.repo, revision_of(asked.target)
        commit = "" if revision is None else await take_ref(turn, self._catalogue, repo, revision)
        if commit is None or turn.listing is None:
            return
        body = turn.listing.body
        if isinstance(asked.target, Tree | PathsInfo):
            await self._catalogue.keep_resolutions(repo, commit, dialect.read_files(body))
            body = dialect.without_xet(body)
        await self._catalogue.keep_listing(asked.at(commit).key, replace(turn.listing, body=body))

    def _tell(self, turn: ListingTurn, target: RepoListing, body: bytes | None) -> None:
        """Tell the other nodes what is known now, if it is for everybody still. What it says of Xet goes along."""
        question = self._question(target, body, Enough.FRESH)
        if question is None or not self._rights.is_public(target.repo):
            return
        revision, listing = revision_of(target), self._catalogue.listing(question.key)
        commit = (
            "" if revision is None else tell_ref(turn, self._catalogue, target.repo, revision, self._freshness.ref_ttl)
        )
        if commit is None or listing is None:
            return
        if isinstance(target, Tree | PathsInfo) and (hashes := self._catalogue.xet_above(target.repo, commit, 0)):
            listing = replace(listing, body=dialect.with_xet(listing.body, hashes))
        turn.tell_listing(commit, listing, self._lifetime(question, listing, Enough.FRESH))

    async def _take_refusal(self, caller: Caller, target: RepoListing, refusal: OriginRefused | SlowDown) -> NoReturn:
        if isinstance(refusal, OriginRefused) and is_about_the_repo(refusal):
            await self._rights.unlearn(caller, target.repo, Plane.API, refusal)
        raise refusal

    async def _ask_origin(self, caller: Caller, target: RepoListing, body: bytes | None, *, can_wait: bool) -> Metadata:
        asked = question.target if (question := self._question(target, body, Enough.FRESH)) else target
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
        if reply.status in _REDIRECTS:
            answer = self._redirect(reply)
            if (other := other_name(answer)) is not None:
                await self._other_names.learn(asked.repo, other)
            return answer
        if reply.status >= 400:
            refusal = refusal_of(reply.status, reply.headers, reply.body)
            if is_about_the_repo(refusal):
                await self._rights.unlearn(caller, asked.repo, Plane.API, refusal)
            raise refusal
        if reply.status != 200:
            raise OriginLied(f"the origin answered with status {reply.status}, which is no listing")
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
            await self._keep_for(caller, Question(asked, body, pinned, 0.0), listing)
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


def _answer(listing: Listing, cache: CacheOutcome, age: int) -> Metadata:
    headers = tuple((name, value) for name, value in listing.headers if name != "link")
    return Metadata(listing.status, headers, listing.body, dialect.next_target(listing.headers), cache, age)
