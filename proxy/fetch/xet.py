"""Xet towards clients: who may reconstruct what, and which file is meant by a hash.

A client that comes with a hash (from a listing it has kept, or that we advertised) asks for an access token first. That
is where its right is proven: by its own token, at the very files, as ever. The token we hand out then stands for the
repo at one commit, so every hash of that commit is learnt before: later requests arrive without the caller's token.
"""

from __future__ import annotations

from typing import Final, assert_never

from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import OriginLied, OriginRefused
from proxy.core.rights import Plane
from proxy.hub import listings as dialect
from proxy.hub import paths
from proxy.hub.facts import FileFacts, Listing, ListingKey
from proxy.hub.names import FileTarget, RepoId, Revision
from proxy.hub.targets import RepoInfo, Tree

from .coordinator import CacheOutcome, Elsewhere, Granted, Located, Metadata
from .listings import Listings
from .locate import MOST_NAMES, Locator
from .othernames import other_name
from .ports import Catalogue
from .rights import CARD

MOST_PAGES: Final = 2000
"""Pages of a tree that are read for its hashes: two million files."""


class XetFiles:
    """Answers `grant` and `located_by_xet`."""

    def __init__(self, catalogue: Catalogue, locator: Locator, listings: Listings, clock: Clock) -> None:
        self._catalogue = catalogue
        self._locator = locator
        self._listings = listings
        self._clock = clock

    async def grant(self, caller: Caller, repo: RepoId, revision: Revision) -> Granted:
        """The right of `caller` to the files of `repo`, proven now, at the commit that `revision` means.

        Raises OriginRefused: the caller has none, there is no such place, no file there has a hash."""
        for _ in range(MOST_NAMES):
            learnt = await self._learn(caller, repo, revision)
            if isinstance(learnt, str):
                return await self._granted(caller, repo, learnt)
            repo = learnt
        raise OriginLied("the origin gives one name of a repo after another")

    def located_by_xet(self, repo: RepoId, commit: str, xet: str) -> Located | None:
        """A file with that hash in `repo` at `commit`, for a caller whose right is proven. Asks nobody."""
        path = self._catalogue.path_of_xet(repo, commit, xet)
        if path is None:
            return None
        target = FileTarget(repo, Revision(commit), path)
        facts = self._catalogue.resolution(target)
        return Located(target, facts, CacheOutcome.HIT, 0) if isinstance(facts, FileFacts) else None

    async def _granted(self, caller: Caller, repo: RepoId, commit: str) -> Granted:
        # not by the card: of a gated repo it is everybody's
        known = self._catalogue.xet_above(repo, commit, -1, most=2)
        path = next((one for one in known if one != CARD), None)
        if path is None:
            raise OriginRefused(
                404, f"no file of {repo} at {commit} is known to be in Xet storage", code="EntryNotFound"
            )
        match await self._locator.locate(caller, FileTarget(repo, Revision(commit), path)):
            case Located():
                everybody = self._catalogue.public_since(repo, Plane.FILES) is not None
                return Granted(repo, commit, everybody=everybody)
            case Elsewhere():
                raise OriginRefused(404, f"{repo} has another name now; list it anew", code="RepoNotFound")
            case never:
                assert_never(never)

    async def _learn(self, caller: Caller, repo: RepoId, revision: Revision) -> str | RepoId:
        """The commit that is meant, once all hashes there are known; or the repo's other name."""
        if not revision.is_commit:
            info = await self._listings.metadata(caller, RepoInfo(repo, revision, ()), None)
            if (other := other_name(info)) is not None:
                return other
            commit = dialect.read_info(info.body).commit
            if commit is None:
                raise OriginLied("the origin's description of a repo names no commit")
            revision = Revision(commit)
        known = ListingKey(repo, f"xet hashes of {revision}")
        if self._catalogue.listing(known) is None:
            target: Tree | None = Tree(repo, revision, "", (("recursive", "true"),))
            for _ in range(MOST_PAGES):
                if target is None:
                    break
                page = await self._listings.metadata(caller, target, None)
                if (other := other_name(page)) is not None:
                    return other
                target = _next(page)
            await self._catalogue.keep_listing(known, Listing(200, (), b"", self._clock.wall(), immutable=True))
        return revision.text


def _next(page: Metadata) -> Tree | None:
    if page.next_target is None:
        return None
    target = paths.parse(page.next_target, "GET")
    if isinstance(target, Tree):
        return target
    raise OriginLied("the origin's next page of a tree is no tree")
