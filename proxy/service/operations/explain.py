"""What would happen to a request, and why: policy, right, resolution, plan, placement. Asks the origin for nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from proxy.catalogue.catalogue import Catalogue
from proxy.core.blob import BlobKey
from proxy.core.caller import Caller
from proxy.core.clock import Clock
from proxy.core.errors import MalformedTarget, OriginRefused, RequestRefused
from proxy.core.rights import Plane
from proxy.core.sizes import SLICE, format_size
from proxy.fetch.rights import Freshness, plane_of
from proxy.hub import paths
from proxy.hub.facts import Absent, FileFacts
from proxy.hub.names import FileTarget
from proxy.hub.peering import PeerQuestion
from proxy.hub.targets import Commits, OciManifest, PathsInfo, Refs, RepoInfo, RepoListing, ResolveFile, Target, Tree
from proxy.store.blobstore import BlobStore

from .elsewhere import MOST_SLICES, FleetView, held_elsewhere, in_words
from .explain_questions import ListingDesk, course_of
from .explain_right import Access, RightDesk, StepTold, caller_named
from .inventory import entry_of
from .pins import Pin
from .shape import Asked, Refused, Told

PinsAmong = Callable[[set[BlobKey]], Awaitable[list[Pin]]]


class ExplainFileAsked(Asked):
    """A request."""

    url: str = Field(min_length=1, max_length=4000, description="An address or a path, as a client asks for it.")
    method: Literal["GET", "HEAD", "POST"] = "GET"
    authorization: SecretStr | None = Field(
        None,
        max_length=8192,
        description="The Authorization field of whoever asks, or `anonymous`; null: whoever comes. It is not kept.",
    )


class ExplainFileTold(Told):
    """What would come of the request; `steps` in the order in which they are decided."""

    target: str
    verdict: str
    asks_origin: bool = Field(description="Whether the origin would be asked for anything.")
    steps: list[StepTold]


class Explainer:
    """Answers out of what is kept, here and, where there is a `fleet`, on the other nodes."""

    def __init__(
        self,
        catalogue: Catalogue,
        store: BlobStore,
        freshness: Freshness,
        clock: Clock,
        fleet: FleetView | None,
        access: Access,
        pins_among: PinsAmong,
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._freshness = freshness
        self._fleet = fleet
        self._access = access
        self._pins_among = pins_among
        self._rights = RightDesk(access, catalogue, freshness, clock)
        self._listings = ListingDesk(catalogue, freshness, clock)

    async def explain(self, asked: ExplainFileAsked) -> ExplainFileTold:
        raw, target = _parsed(asked)
        steps = [self._rights.policy_step()]
        try:
            caller = caller_named(asked.authorization, self._access.key)
        except OriginRefused as refusal:
            steps.append(StepTold(name="right", says=f"refused here: {refusal.message}", rule="no such credentials"))
            return ExplainFileTold(target=raw, verdict=f"{refusal.status}", asks_origin=False, steps=steps)
        match target:
            case ResolveFile(file):
                return await self._file(raw, file, caller, steps)
            case RepoInfo() | Tree() | PathsInfo() | Refs() | Commits():
                return self._listing(raw, target, caller, steps)
            case OciManifest():
                kept, is_good = self._listings.of_manifest(target)
                return self._question(raw, target, caller, steps, kept, is_good=is_good)
            case _:
                return self._question(raw, target, caller, steps)

    # --- listings and other questions -----------------------------------------------------------------------------

    def _listing(self, raw: str, target: RepoListing, caller: Caller | None, steps: list[StepTold]) -> ExplainFileTold:
        asked = f"GET {paths.render(target)}"
        right = self._rights.of(caller, target.repo, Plane.API, "the very question")
        found, is_good = self._listings.of_listing(target)
        steps += [right.step, *found]
        if right.refused is not None:
            return ExplainFileTold(target=raw, verdict=f"{right.refused}", asks_origin=False, steps=steps)
        asks = not (right.open and is_good)
        if asks:
            steps += [self._rights.budget_step(caller, Plane.API), _origin_step(asked)]
        verdict = "the origin is asked" if asks else "a hit: served from the catalogue"
        return ExplainFileTold(target=raw, verdict=verdict, asks_origin=asks, steps=steps)

    def _question(
        self,
        raw: str,
        target: Target,
        caller: Caller | None,
        steps: list[StepTold],
        kept: StepTold | None = None,
        *,
        is_good: bool = False,
    ) -> ExplainFileTold:
        course = course_of(target, self._access.config)
        is_open = course.right is None
        if course.right is not None:
            right = self._rights.of(caller, *course.right, "the very question")
            steps.append(right.step)
            if right.refused is not None:
                return ExplainFileTold(target=raw, verdict=f"{right.refused}", asks_origin=False, steps=steps)
            is_open = right.open
        steps.append(kept or course.kept)
        asks = bool(course.asked) and (course.always_asks or not (is_open and is_good))
        if asks:
            plane = course.right[1] if course.right else Plane.API
            steps += [self._rights.budget_step(caller, plane), _origin_step(course.asked)]
        verdict = "the origin is asked" if asks else course.answer or "a hit: served from the catalogue"
        return ExplainFileTold(target=raw, verdict=verdict, asks_origin=asks, steps=steps)

    # --- files ----------------------------------------------------------------------------------------------------

    async def _file(self, raw: str, file: FileTarget, caller: Caller | None, steps: list[StepTold]) -> ExplainFileTold:
        right = self._rights.of(caller, file.repo, plane_of(file), "a HEAD of the file")
        steps.append(right.step)
        if right.refused is not None:
            return ExplainFileTold(target=raw, verdict=f"{right.refused}", asks_origin=False, steps=steps)
        commit, is_fresh = self._explain_revision(file, steps)
        needs_origin = not right.open or not is_fresh
        facts = None if commit is None else self._catalogue.resolution(file.at(commit))
        if commit is None or facts is None:
            if commit is not None:
                steps.append(StepTold(name="file", says="not known at that commit: the origin is asked", rule=""))
            steps += [self._rights.budget_step(caller, Plane.FILES), _origin_step("HEAD of the very file")]
            return ExplainFileTold(target=raw, verdict="the origin is asked what it is", asks_origin=True, steps=steps)
        if isinstance(facts, Absent):
            steps.append(StepTold(name="file", says="there is none of that path at that commit", rule="kept for good"))
            return ExplainFileTold(target=raw, verdict="404 EntryNotFound", asks_origin=needs_origin, steps=steps)
        steps.append(StepTold(name="file", says=f"{format_size(facts.size)}, ETag {facts.etag}", rule="kept for good"))
        missing = await self._explain_plan(file.at(commit), facts, steps)
        if missing or needs_origin:
            steps.append(self._rights.budget_step(caller, Plane.FILES))
        verdict = f"{format_size(missing)} would be fetched" if missing else "a hit: served from disk"
        if not file.revision.is_commit:
            verdict = f"307 to the commit; then {verdict}"
        if needs_origin:
            verdict += ", once the origin has been asked"
        return ExplainFileTold(target=raw, verdict=verdict, asks_origin=needs_origin or missing > 0, steps=steps)

    def _explain_revision(self, file: FileTarget, steps: list[StepTold]) -> tuple[str | None, bool]:
        """The commit that is meant, as far as it is known, and whether that is believed without asking."""
        if file.revision.is_commit:
            says = "a commit: it cannot change, and the origin is not asked"
            steps.append(StepTold(name="revision", says=says, rule="a commit cannot change"))
            return file.revision.text, True
        step, commit, age = self._listings.of_revision(file.repo, file.revision)
        steps.append(step)
        return commit, age < self._freshness.ref_ttl

    async def _explain_plan(self, file: FileTarget, facts: FileFacts, steps: list[StepTold]) -> int:
        """Bytes that are missing."""
        if facts.size == 0:
            return 0
        entry = entry_of(file.repo, facts)
        here = {} if entry is None else await self._store.inventory.where(entry.key)
        total = sum(here.values())
        missing = max(0, facts.size - total)
        on = ", ".join(f"{format_size(size)} on {name}" for name, size in here.items()) or "nothing is here"
        steps.append(StepTold(name="plan", says=f"{on}; {format_size(missing)} missing", rule="what is on the disks"))
        steps.append(await self._explain_admission(None if entry is None else entry.key, facts, missing))
        if self._fleet is not None:
            await self._explain_fleet(self._fleet, PeerQuestion(file, facts, None), steps)
        elif missing:
            says = "what is missing comes from the origin, once for all readers"
            steps.append(StepTold(name="source", says=says, rule="fetch.span, fetch.parallel"))
        return missing

    async def _explain_admission(self, key: BlobKey | None, facts: FileFacts, missing: int) -> StepTold:
        """Whether the disks take it, and how long it stays."""
        disks = await self._store.snapshot()
        taking = [disk for disk in disks if disk.takes]
        pins = [] if key is None else await self._pins_among({key})
        stays = ", ".join(f"pinned by {pin.repo}@{pin.revision}" for pin in pins) or "until others are used more"
        if missing and not taking:
            why = "; ".join(f"{disk.name} is {disk.state.value} {disk.reason}".strip() for disk in disks)
            says, rule = (
                f"no disk takes anything new ({why}): it is passed on, and not kept",
                "store.free_floor, a disk out",
            )
        elif missing and facts.size > sum(disk.limit for disk in taking):
            says = "larger than all disks together: what is read last stays"
            rule = "store.disks (their sizes), store.soft_limit"
        else:
            names = ", ".join(disk.name for disk in taking) or "none"
            says, rule = f"kept {stays}; disks that take new bytes: {names}", "store.soft_limit, store.free_floor, pins"
        return StepTold(name="admission", says=says, rule=rule)

    async def _explain_fleet(self, fleet: FleetView, question: PeerQuestion, steps: list[StepTold]) -> None:
        slices = range(min(MOST_SLICES, -(-question.size // SLICE)))
        owned = ", ".join(f"{index}: {(fleet.ranked(question.name, index) or ('nobody',))[0]}" for index in slices)
        says = f"what is missing is asked of the owners of its slices: {owned}"
        steps.append(StepTold(name="owners", says=says, rule="rendezvous of key and slice, cluster.weight"))
        held = in_words(await held_elsewhere(fleet, question), len(slices))
        of = f", of the first {MOST_SLICES} slices" if question.size > MOST_SLICES * SLICE else ""
        steps.append(StepTold(name="nodes", says=f"the other nodes have{of}: {held}"))


def _parsed(asked: ExplainFileAsked) -> tuple[str, Target]:
    """The raw target and what it means. Raises Refused."""
    try:
        parts = urlsplit(asked.url)
    except ValueError as error:
        raise Refused(400, f"{asked.url!r} is no address: {error}") from None
    raw = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    raw = raw if raw.startswith("/") else f"/{raw}"
    try:
        return raw, paths.parse(raw, asked.method)
    except MalformedTarget as error:
        raise Refused(400, f"it is answered with 400 or 404: {error}") from None
    except RequestRefused as error:
        raise Refused(400, f"it is refused: {error} (penstock explain --method POST)") from None


def _origin_step(asked: str) -> StepTold:
    return StepTold(name="origin", says=f"asked for: {asked}", rule="once for all who ask the same")
