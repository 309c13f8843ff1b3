"""Questions about listings: what they are called, at which commit, and whether their answers can ever change. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import assert_never

from proxy.core.errors import OriginLied
from proxy.hub import listings as dialect
from proxy.hub import paths
from proxy.hub.facts import Listing, ListingKey
from proxy.hub.headers import Fields
from proxy.hub.links import Link, format_links
from proxy.hub.names import Revision
from proxy.hub.targets import Commits, PathsInfo, Refs, RepoInfo, RepoListing, Tree

from .rights import Freshness


@dataclass(frozen=True, slots=True)
class Question:
    """A listing as it will be asked and kept: at a commit, where the revision's commit is known."""

    target: RepoListing
    body: bytes | None
    revision: Revision | None
    """The revision asked for, None for a listing that has none (refs, info of the default branch)."""
    age: float
    """Seconds since the origin confirmed that `revision` means the commit in `target`."""

    @property
    def key(self) -> ListingKey:
        """Under which it is kept."""
        body = "" if self.body is None else f"\n{self.body.decode()}"
        return ListingKey(self.target.repo, paths.render(self.target) + body)

    def at(self, commit: str) -> Question:
        """The same at `commit`; itself where it names no revision ("")."""
        return replace(self, target=at_commit(self.target, commit)) if commit else self


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


def lifetime(question: Question, listing: Listing, freshness: Freshness) -> tuple[float, str]:
    """Seconds that the listing is fresh for, and the rule that says so."""
    if listing.immutable:
        return math.inf, "at a commit it cannot change"
    if question.revision is None:
        return freshness.ref_ttl, "freshness.ref_ttl"
    # Asked for by commit: the files cannot change, and counters a day old are worth no call to the origin.
    if question.revision.is_commit:
        return freshness.public_ttl, "freshness.public_ttl"
    return freshness.listing_ttl, "freshness.listing_ttl"


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
