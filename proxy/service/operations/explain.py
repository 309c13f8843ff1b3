"""What would happen to a request, and why: right, resolution, plan, placement. Asks the origin for nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field

from proxy.catalogue.catalogue import Catalogue
from proxy.core.clock import Clock
from proxy.core.errors import MalformedTarget
from proxy.core.rights import Plane
from proxy.core.sizes import SLICE, format_size
from proxy.fetch.rights import CARD, Freshness
from proxy.hub import paths
from proxy.hub.facts import Absent, FileFacts
from proxy.hub.names import FileTarget
from proxy.hub.peering import PeerQuestion
from proxy.hub.targets import RawFile, ResolveFile
from proxy.store.blobstore import BlobStore

from .elsewhere import MOST_SLICES, FleetView, held_elsewhere, in_words
from .inventory import entry_of
from .shape import Asked, Refused, Told


class ExplainFileAsked(Asked):
    """A request."""

    url: str = Field(min_length=1, max_length=4000, description="An address or a path, as a client asks for it.")


class StepTold(Told):
    """One thing that is decided on the way, and what it comes to now."""

    name: str
    says: str


class ExplainFileTold(Told):
    """What would come of the request; `steps` in the order in which they are decided."""

    target: str
    verdict: str
    asks_origin: bool = Field(description="Whether the origin would be asked for anything.")
    steps: list[StepTold]


class Explainer:
    """Answers out of what is kept, here and, where there is a `fleet`, on the other nodes."""

    def __init__(
        self, catalogue: Catalogue, store: BlobStore, freshness: Freshness, clock: Clock, fleet: FleetView | None
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._freshness = freshness
        self._clock = clock
        self._fleet = fleet

    async def explain(self, asked: ExplainFileAsked) -> ExplainFileTold:
        try:
            parts = urlsplit(asked.url)
        except ValueError as error:
            raise Refused(400, f"{asked.url!r} is no address: {error}") from None
        raw = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        raw = raw if raw.startswith("/") else f"/{raw}"
        try:
            target = paths.parse(raw, "GET")
        except MalformedTarget as error:
            raise Refused(400, f"it is answered with 400 or 404: {error}") from None
        match target:
            case ResolveFile(file):
                return await self._file(raw, file)
            case RawFile(file):
                return _plain(raw, f"the text that git has for {file.path}: passed on from the origin, and not kept")
            case _:
                what = type(target).__name__
                return _plain(
                    raw,
                    f"a question of the kind {what}: a fresh answer that is kept is given, else the origin is asked",
                )

    async def _file(self, raw: str, file: FileTarget) -> ExplainFileTold:
        steps: list[StepTold] = []
        needs_origin = not self._explain_right(file, steps)
        commit, is_fresh = self._explain_revision(file, steps)
        needs_origin = needs_origin or not is_fresh
        if commit is None:
            return ExplainFileTold(target=raw, verdict="the origin is asked what it is", asks_origin=True, steps=steps)
        facts = self._catalogue.resolution(file.at(commit))
        if facts is None:
            steps.append(StepTold(name="file", says="not known at that commit: the origin is asked"))
            return ExplainFileTold(target=raw, verdict="the origin is asked what it is", asks_origin=True, steps=steps)
        if isinstance(facts, Absent):
            steps.append(StepTold(name="file", says="there is none of that path at that commit"))
            return ExplainFileTold(target=raw, verdict="404 EntryNotFound", asks_origin=needs_origin, steps=steps)
        steps.append(StepTold(name="file", says=f"{format_size(facts.size)}, ETag {facts.etag}"))
        missing = await self._explain_plan(file.at(commit), facts, steps)
        verdict = f"{format_size(missing)} would be fetched" if missing else "a hit: served from disk"
        if not file.revision.is_commit:
            verdict = f"307 to the commit; then {verdict}"
        if needs_origin:
            verdict += ", once the origin has been asked"
        return ExplainFileTold(target=raw, verdict=verdict, asks_origin=needs_origin or missing > 0, steps=steps)

    def _explain_right(self, file: FileTarget, steps: list[StepTold]) -> bool:
        plane = Plane.CARD if file.path == CARD else Plane.FILES
        since = self._catalogue.public_since(file.repo, plane)
        age = None if since is None else self._clock.wall() - since
        if age is None:
            says = (
                "not known to be for everybody: each caller's own token is shown to the origin, by a HEAD of the file"
            )
        elif age < self._freshness.public_ttl:
            says = f"for everybody, as the origin said {age:.0f} s ago (believed {self._freshness.public_ttl:.0f} s)"
        else:
            says = f"for everybody when last asked, {age:.0f} s ago: asked again, and believed while the origin is away"
        steps.append(StepTold(name="right", says=says))
        return age is not None and age < self._freshness.public_ttl

    def _explain_revision(self, file: FileTarget, steps: list[StepTold]) -> tuple[str | None, bool]:
        """The commit that is meant, as far as it is known, and whether that is believed without asking."""
        if file.revision.is_commit:
            steps.append(StepTold(name="revision", says="a commit: it cannot change, and the origin is not asked"))
            return file.revision.text, True
        ref = self._catalogue.ref(file.repo, file.revision)
        if ref is None:
            steps.append(StepTold(name="revision", says=f"{file.revision} is not known: the origin is asked"))
            return None, False
        age = self._clock.wall() - ref.checked_at
        is_fresh = age < self._freshness.ref_ttl
        fresh = "believed" if is_fresh else "asked again, and believed while the origin is away"
        says = f"{file.revision} was {ref.commit} {age:.0f} s ago: {fresh} (freshness.ref_ttl)"
        steps.append(StepTold(name="revision", says=says))
        return ref.commit, is_fresh

    async def _explain_plan(self, file: FileTarget, facts: FileFacts, steps: list[StepTold]) -> int:
        """Bytes that are missing."""
        if facts.size == 0:
            return 0
        entry = entry_of(file.repo, facts)
        here = {} if entry is None else await self._store.inventory.where(entry.key)
        total = sum(here.values())
        missing = max(0, facts.size - total)
        on = ", ".join(f"{format_size(size)} on {name}" for name, size in here.items()) or "nothing is here"
        steps.append(StepTold(name="plan", says=f"{on}; {format_size(missing)} missing"))
        if self._fleet is not None:
            await self._explain_fleet(self._fleet, PeerQuestion(file, facts, None), steps)
        elif missing:
            steps.append(StepTold(name="source", says="what is missing comes from the origin, once for all readers"))
        return missing

    async def _explain_fleet(self, fleet: FleetView, question: PeerQuestion, steps: list[StepTold]) -> None:
        slices = range(min(MOST_SLICES, -(-question.size // SLICE)))
        owned = ", ".join(f"{index}: {(fleet.ranked(question.name, index) or ('nobody',))[0]}" for index in slices)
        steps.append(StepTold(name="owners", says=f"what is missing is asked of the owners of its slices: {owned}"))
        held = in_words(await held_elsewhere(fleet, question), len(slices))
        of = f", of the first {MOST_SLICES} slices" if question.size > MOST_SLICES * SLICE else ""
        steps.append(StepTold(name="nodes", says=f"the other nodes have{of}: {held}"))


def _plain(raw: str, says: str) -> ExplainFileTold:
    return ExplainFileTold(target=raw, verdict=says, asks_origin=True, steps=[])
