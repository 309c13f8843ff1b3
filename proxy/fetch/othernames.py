"""Other names of repos: what they were called before, or in another case, and where those names lead.

The Hub redirects old names, and the oldest are the most used (`gpt2`). Where one leads is kept like a listing, for
everybody, and told only to callers whose right under the new name is known: to all others a name says nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson

from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginRefused
from proxy.core.rights import Plane
from proxy.hub import paths
from proxy.hub.facts import Listing, ListingKey
from proxy.hub.names import RepoId, RepoKind
from proxy.hub.targets import Commits, OtherApi, Refs, RepoInfo, RepoListing, Tree

from .coordinator import CacheOutcome, Metadata
from .inquiries import Enough
from .ports import Catalogue
from .rights import Freshness, Rights

_TEXT: Final = "another name"


class OtherNames:
    """Where names lead that the origin has redirected."""

    def __init__(self, catalogue: Catalogue, rights: Rights, clock: Clock, freshness: Freshness) -> None:
        self._catalogue = catalogue
        self._rights = rights
        self._clock = clock
        self._freshness = freshness

    def known(self, caller: Caller, repo: RepoId, plane: Plane, enough: Enough) -> RepoId | None:
        """What `repo` is called now, for a caller who may see that; None when nobody knows or may say."""
        kept = self._kept(repo)
        if kept is None:
            return None
        lasts = self._freshness.listing_ttl if enough is Enough.FRESH else self._freshness.stale_for
        if self._clock.wall() - kept.stored_at >= lasts:
            return None
        other = _repo(kept)
        # 1. A becomes B   2. B becomes A again   without this, each name would lead to the other until its time is up
        back = self._kept(other)
        if back is not None and _repo(back) == repo and back.stored_at >= kept.stored_at:
            return None
        try:
            allowed = self._rights.hold(caller, other, plane, origin_away=enough is Enough.AWAY)
        except OriginRefused:
            return None
        return other if allowed else None

    def redirect(self, caller: Caller, target: RepoListing, enough: Enough) -> Metadata | None:
        """The answer of the origin's to a listing under an old name, where it is known."""
        other = self.known(caller, target.repo, Plane.API, enough)
        if other is None:
            return None
        where = (("location", paths.render(replace(target, repo=other))),)
        return Metadata(307, where, b"", None, CacheOutcome.BYPASS, 0)

    async def learn(self, repo: RepoId, other: RepoId) -> None:
        """The origin redirects `repo` to `other`."""
        body = orjson.dumps([other.kind.value, other.name])
        listing = Listing(307, (), body, self._clock.wall(), immutable=False)
        await self._catalogue.keep_listing(ListingKey(repo, _TEXT), listing)

    def _kept(self, repo: RepoId) -> Listing | None:
        return self._catalogue.listing(ListingKey(repo, _TEXT))


def _repo(kept: Listing) -> RepoId:
    kind, name = orjson.loads(kept.body)
    return RepoId(RepoKind(kind), name)


def other_name(answer: Metadata) -> RepoId | None:
    """The repo that a redirect of a listing leads to, if `answer` is one."""
    location = next((text for name, text in answer.headers if name == "location"), None)
    if answer.status not in (301, 302, 303, 307, 308) or location is None:
        return None
    match paths.parse(location, "GET"):
        case RepoInfo(repo) | Tree(repo) | Refs(repo) | Commits(repo) | OtherApi(_, RepoId() as repo):
            return repo
        case _:
            return None
