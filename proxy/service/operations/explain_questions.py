"""What would happen to what is not a file: listings, git, LFS, the registry, Xet. Which rule decides, how long the
answer is kept, and what would be asked of the origin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import assert_never

from proxy.catalogue.catalogue import Catalogue
from proxy.config.schema import Config
from proxy.core.clock import Clock
from proxy.core.rights import Plane
from proxy.fetch.git import REFS_TTL
from proxy.fetch.questions import Question, at_commit, lifetime, revision_of
from proxy.fetch.registry import manifest_key
from proxy.fetch.rights import Freshness
from proxy.hub.facts import Listing
from proxy.hub.names import RepoId, Revision
from proxy.hub.oci import Agent
from proxy.hub.targets import (
    AuthCheck,
    Commits,
    GitPack,
    GitRefs,
    LfsBatch,
    LfsObject,
    OciBlob,
    OciManifest,
    OciPing,
    OciToken,
    OtherApi,
    PathsInfo,
    RawFile,
    Refs,
    RepoInfo,
    RepoListing,
    ResolveFile,
    Target,
    Tree,
    WhoAmI,
    WriteCall,
    XetReconstruction,
    XetTelemetry,
    XetToken,
    XetXorb,
)

from .explain_right import StepTold


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of a question. `right` is what the right is of (None: no right is needed here), `kept` for how
    long and by which rule, `asked` what the origin is asked for ("" for nothing), `answer` what is given without."""

    right: tuple[RepoId, Plane] | None
    kept: StepTold
    asked: str
    answer: str = ""
    always_asks: bool = False


def course_of(target: Target, config: Config) -> Course:
    """The course of everything but files at `/resolve/` and listings. Pure."""
    match target:
        case RawFile(file):
            return _passed((file.repo, Plane.FILES), f"GET /raw/ of {file.path}: what git has under that path")
        case AuthCheck(repo):
            return _passed((repo, Plane.FILES), "GET auth-check, with the caller's own token")
        case WhoAmI():
            return _passed(None, "GET whoami-v2, with the caller's own token")
        case OtherApi(_, repo):
            right = None if repo is None else (repo, Plane.API)
            return _passed(right, "the very question, with the caller's own token")
        case WriteCall():
            kept = _kept("nothing is changed through a mirror", "the mirror is read-only")
            return Course(None, kept, "", answer="403: send uploads to the Hub itself")
        case GitRefs(repo):
            ttl = min(REFS_TTL, config.freshness.ref_ttl)
            kept = _kept(f"{ttl:.0f} s, and only what the anonymous may clone", "freshness.ref_ttl, 10 s at most")
            return Course((repo, Plane.FILES), kept, "GET info/refs, with the caller's own token", always_asks=True)
        case GitPack(repo):
            return _passed((repo, Plane.FILES), "POST git-upload-pack: packs are made by the origin")
        case LfsBatch(repo):
            kept = _kept("for good, that an object is of the repo", "an object has the name of its digest")
            asked = "POST objects/batch, for those that are not known to be of the repo"
            return Course((repo, Plane.FILES), kept, asked)
        case LfsObject():
            return _by_ticket("the object that a batch gave out this address for")
        case OciPing() | OciToken():
            return Course(
                None, _kept("nothing", "answered here"), "", answer="answered here, for every registry client"
            )
        case OciBlob(repo, _, ticket):
            if ticket is not None:
                return _by_ticket("the blob that a redirect gave out this address for")
            kept = _kept("for good, that a blob is of the repo", "a blob has the name of its digest")
            return Course((repo, Plane.FILES), kept, "HEAD of the blob, unless a manifest has named it")
        case OciManifest(repo):
            return Course((repo, Plane.FILES), _kept(*_listing_ttl(config)), "GET of the manifest, by class of client")
        case XetToken(repo):
            return _xet_token(repo, config)
        case XetReconstruction():
            kept = _kept("nothing: it is computed from what is known of the file", "xet.facade")
            return Course(None, kept, "", answer="computed here, for the access token that is shown")
        case XetXorb():
            return _by_ticket("a row of pieces of the file, computed from its bytes: see its /resolve/ address")
        case XetTelemetry():
            return Course(None, _kept("nothing", "answered here"), "", answer="204: it is taken, and told to nobody")
        case ResolveFile() | RepoInfo() | Tree() | PathsInfo() | Refs() | Commits():
            raise AssertionError("files and listings are explained out of the catalogue")
        case _:
            assert_never(target)


def _kept(says: str, rule: str) -> StepTold:
    return StepTold(name="kept", says=says, rule=rule)


def _passed(right: tuple[RepoId, Plane] | None, asked: str) -> Course:
    return Course(right, _kept("never: each is asked of the origin", "passed through"), asked, always_asks=True)


def _by_ticket(what: str) -> Course:
    kept = _kept(f"the address holds as long as its ticket says; {what}", "the ticket in the address")
    return Course(
        None, kept, "", answer="the ticket stands for the caller that it was given to, whose right is looked up"
    )


def _listing_ttl(config: Config) -> tuple[str, str]:
    return f"{config.freshness.listing_ttl:.0f} s, for each class of clients", "freshness.listing_ttl"


def _xet_token(repo: RepoId, config: Config) -> Course:
    if not config.xet.facade:
        return Course(
            None, _kept("nothing", "xet.facade = false"), "", answer="404: clients are told to use plain HTTP"
        )
    kept = _kept(
        f"the access token holds {config.xet.token_ttl:.0f} s, no longer than the right behind it", "xet.token_ttl"
    )
    asked = "HEAD of a file with Xet, and the tree of the commit until all its hashes are known"
    return Course((repo, Plane.FILES), kept, asked)


class ListingDesk:
    """How what is kept of a listing stands."""

    def __init__(self, catalogue: Catalogue, freshness: Freshness, clock: Clock) -> None:
        self._catalogue = catalogue
        self._freshness = freshness
        self._clock = clock

    def of_revision(self, repo: RepoId, revision: Revision) -> tuple[StepTold, str | None, float]:
        """The commit that a branch or tag means, if it is known, and the seconds since the origin said so."""
        ref = self._catalogue.ref(repo, revision)
        if ref is None:
            says = f"{revision} is not known: the origin is asked"
            return StepTold(name="revision", says=says, rule="freshness.ref_ttl"), None, math.inf
        age = self._clock.wall() - ref.checked_at
        fresh = "believed" if age < self._freshness.ref_ttl else "asked again, and believed while the origin is away"
        says = f"{revision} was {ref.commit} {age:.0f} s ago: {fresh}"
        return StepTold(name="revision", says=says, rule="freshness.ref_ttl"), ref.commit, age

    def of_listing(self, target: RepoListing) -> tuple[list[StepTold], bool]:
        """The steps, and whether what is kept is good without a question."""
        revision, age = revision_of(target), 0.0
        steps: list[StepTold] = []
        if revision is not None and not revision.is_commit:
            step, commit, age = self.of_revision(target.repo, revision)
            steps.append(step)
            if commit is None:
                return steps, False
            target = at_commit(target, commit)
        if isinstance(target, PathsInfo):
            says = "for each set of paths by itself, for good unless scan results are asked for"
            return [*steps, StepTold(name="kept", says=says, rule="a commit cannot change")], False
        question = Question(target, None, revision, age)
        step, is_good = self._kept(question, self._catalogue.listing(question.key))
        return [*steps, step], is_good and age < self._freshness.ref_ttl

    def of_manifest(self, target: OciManifest) -> tuple[StepTold, bool]:
        ages = {
            agent.name.lower().replace("_", "-"): self._clock.wall() - kept.stored_at
            for agent in Agent
            if (kept := self._catalogue.listing(manifest_key(target, agent)))
        }
        ttl = self._freshness.listing_ttl
        had = ", ".join(f"for {name} {age:.0f} s old" for name, age in ages.items()) or "nothing is kept"
        step = StepTold(name="kept", says=f"{had}; good for {ttl:.0f} s", rule="freshness.listing_ttl")
        return step, bool(ages) and all(age < ttl for age in ages.values())

    def _kept(self, question: Question, listing: Listing | None) -> tuple[StepTold, bool]:
        if listing is None:
            return StepTold(name="kept", says="nothing is kept of it", rule=""), False
        good_for, rule = lifetime(question, listing, self._freshness)
        age = self._clock.wall() - listing.stored_at
        until = "for good" if math.isinf(good_for) else f"for {good_for:.0f} s"
        stale = (
            ""
            if age < good_for
            else f"; now due, and served for {self._freshness.stale_for:.0f} s while the origin is away"
        )
        says = f"{len(listing.body)} bytes, {age:.0f} s old, good {until}{stale}"
        return StepTold(name="kept", says=says, rule=rule), age < good_for
