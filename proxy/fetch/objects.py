"""Objects by their digest: what git-lfs and the registry's clients ask for.

Bytes are shared by digest, permission is not: an object is given out of a repo only if the origin said that it is of
that repo, and only to callers who may read the repo's files. Both are kept; while they are fresh nobody is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, assert_never

from proxy.core.blob import BlobKey
from proxy.core.caller import Caller
from proxy.core.errors import OriginLied, OriginRefused
from proxy.core.rights import Plane
from proxy.hub import lfs_batch, paths
from proxy.hub.facts import FileFacts, OriginReply
from proxy.hub.headers import here
from proxy.hub.lfs_batch import LfsMissing, LfsOffer, LfsPointer
from proxy.hub.names import Counter, FileTarget, ObjectTarget, RepoId, Revision
from proxy.hub.problems import refusal_of
from proxy.hub.targets import LfsBatch, OciBlob

from .coordinator import CacheOutcome, LfsAnswer, LocatedObject, MovedTo
from .inquiries import Enough, Inquiries, Inquiry
from .locate import MOST_NAMES
from .ports import Catalogue, Origin
from .rights import Rights, is_about_the_repo

_METHODS: Final = {Counter.REGISTRY: "HEAD", Counter.LFS: "POST"}
NOWHERE = Revision("0" * 40)
"""Git's name for no commit: objects are kept under it, at paths that no request can spell."""


class Objects:
    """Answers `lfs_batch`, `layer` and `vouch`."""

    def __init__(self, origin: Origin, catalogue: Catalogue, rights: Rights, inquiries: Inquiries) -> None:
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights
        self._inquiries = inquiries

    async def lfs_batch(self, caller: Caller, target: LfsBatch, wanted: Sequence[LfsPointer]) -> LfsAnswer | MovedTo:
        """Which of the objects there are for the caller. Raises OriginRefused, OriginAway, OriginLied."""
        names = ",".join(sorted(f"{one.oid}:{one.size}" for one in wanted))
        inquiry: Inquiry[LfsAnswer | MovedTo] = Inquiry(
            caller,
            f"objects {target.repo} {names}",
            lambda: self._rights.hold(caller, target.repo, Plane.FILES),
            lambda enough: self._known_batch(caller, target, wanted, enough),
            lambda can_wait: self._ask_batch(caller, target, wanted, can_wait=can_wait),
        )
        return await self._inquiries.answer(inquiry)

    async def layer(self, caller: Caller, target: OciBlob) -> LocatedObject | MovedTo:
        """A blob of the registry that a manifest, or an LFS batch, of this repo has named."""
        return await self._layer(caller, target, None)

    async def _layer(self, caller: Caller, target: OciBlob, named: FileFacts | None) -> LocatedObject | MovedTo:
        """`named`: what we said of it ourselves before."""
        inquiry: Inquiry[LocatedObject | MovedTo] = Inquiry(
            caller,
            f"layer {target.repo} {target.sha256}",
            lambda: self._rights.hold(caller, target.repo, Plane.FILES),
            lambda enough: self._known_layer(caller, target, named, enough),
            lambda can_wait: self._ask_layer(caller, target, named, can_wait=can_wait),
        )
        return await self._inquiries.answer(inquiry)

    async def vouch(self, caller: Caller, target: ObjectTarget, size: int) -> LocatedObject:
        """An object that `caller` was given the address of before, if it may still have it: by the right that is known,
        else by the origin's word. Raises OriginRefused, OriginAway, OriginLied."""
        for _ in range(MOST_NAMES):
            found = await self._vouched(caller, target, size)
            if isinstance(found, LocatedObject):
                return found
            target = _elsewhere(found, target)
        raise OriginLied("the origin gives one name of a repo after another")

    async def _vouched(self, caller: Caller, target: ObjectTarget, size: int) -> LocatedObject | MovedTo:
        match target.counter:
            case Counter.REGISTRY:
                named = object_facts(target.sha256, size)
                return await self._layer(caller, OciBlob(target.repo, target.sha256), named)
            case Counter.LFS:
                answer = await self.lfs_batch(caller, LfsBatch(target.repo), [LfsPointer(target.sha256, size)])
            case _:
                assert_never(target.counter)
        if isinstance(answer, MovedTo):
            return answer
        if (missing := answer.missing.get(target.sha256)) is not None:
            raise OriginRefused(missing.code if 400 <= missing.code < 500 else 404, missing.message)
        return self.located(target, object_facts(target.sha256, size), answer.cache)

    def located(self, target: ObjectTarget, facts: FileFacts, cache: CacheOutcome) -> LocatedObject:
        return LocatedObject(target, facts, cache, self._everybody(target.repo))

    def facts(self, repo: RepoId, sha256: str) -> FileFacts | None:
        """The object, if it is known to be of the repo."""
        kept = self._catalogue.resolution(_place(repo, sha256))
        return kept if isinstance(kept, FileFacts) else None

    async def keep(self, repo: RepoId, objects: Iterable[tuple[str, int]]) -> None:
        """The origin said that these (digest, size) are of the repo."""
        fresh = [
            (sha256, size)
            for sha256, size in objects
            if self.facts(repo, sha256) is None and object_facts(sha256, size).can_be
        ]
        if fresh:
            files = [(_place(repo, sha256).path, object_facts(sha256, size)) for sha256, size in fresh]
            await self._catalogue.keep_resolutions(repo, NOWHERE.text, files)

    async def doubt(self, target: ObjectTarget) -> None:
        """What is kept of the object was found wrong: forget it."""
        await self._catalogue.drop_resolution(_place(target.repo, target.sha256))

    # --- batches ------------------------------------------------------------------------------------------------

    def _known_batch(
        self, caller: Caller, target: LfsBatch, wanted: Sequence[LfsPointer], enough: Enough
    ) -> LfsAnswer | None:
        if not self._rights.hold(caller, target.repo, Plane.FILES, origin_away=enough is Enough.AWAY):
            return None
        if not all(self._has(target.repo, one) for one in wanted):
            return None
        return LfsAnswer({}, self._everybody(target.repo), _kept(enough))

    async def _ask_batch(
        self, caller: Caller, target: LfsBatch, wanted: Sequence[LfsPointer], *, can_wait: bool
    ) -> LfsAnswer | MovedTo:
        closings = self._rights.closings(target.repo)
        fields = (("Content-Type", lfs_batch.MEDIA_TYPE), ("Accept", lfs_batch.MEDIA_TYPE))
        question = lfs_batch.question(wanted)
        asking = self._origin.call(
            "POST", paths.render(target), caller, headers=fields, body=question, can_wait=can_wait
        )
        reply = await asking
        if 300 <= reply.status < 400:
            return MovedTo(here(reply.header("location") or ""))
        if reply.status >= 400:
            await self._refuse(caller, target.repo, reply)
        return await self._learn(caller, target.repo, wanted, lfs_batch.read_answer(reply.body), closings)

    def _has(self, repo: RepoId, one: LfsPointer) -> bool:
        facts = self.facts(repo, one.oid)
        return facts is not None and facts.size == one.size

    # --- layers -------------------------------------------------------------------------------------------------

    def _known_layer(
        self, caller: Caller, target: OciBlob, named: FileFacts | None, enough: Enough
    ) -> LocatedObject | None:
        if not self._rights.hold(caller, target.repo, Plane.FILES, origin_away=enough is Enough.AWAY):
            return None
        facts = self.facts(target.repo, target.sha256) or named
        if facts is None:
            if enough is Enough.FRESH:
                raise _unnamed()
            return None
        return self.located(_counter(target), facts, _kept(enough))

    async def _ask_layer(
        self, caller: Caller, target: OciBlob, named: FileFacts | None, *, can_wait: bool
    ) -> LocatedObject | MovedTo:
        closings = self._rights.closings(target.repo)
        reply = await self._origin.call("HEAD", paths.render(target), caller, can_wait=can_wait)
        if reply.status >= 400:
            await self._refuse(caller, target.repo, reply)
        if (elsewhere := here(reply.header("location") or "")) is not None:
            return MovedTo(elsewhere)  # proves nothing of this name; where bytes are is no place of the Hub's
        await self._rights.learn(caller, target.repo, Plane.FILES, closings)
        facts = self.facts(target.repo, target.sha256) or named
        if facts is None:
            raise _unnamed()
        return self.located(_counter(target), facts, CacheOutcome.MISS)

    async def _refuse(self, caller: Caller, repo: RepoId, reply: OriginReply) -> None:
        refusal = refusal_of(reply.status, reply.headers, reply.body)
        if is_about_the_repo(refusal):
            await self._rights.unlearn(caller, repo, Plane.FILES, refusal)
        raise refusal

    async def _learn(
        self,
        caller: Caller,
        repo: RepoId,
        wanted: Sequence[LfsPointer],
        said: dict[str, LfsOffer | LfsMissing],
        closings: int,
    ) -> LfsAnswer:
        if any(isinstance(said.get(one.oid), LfsOffer) for one in wanted):
            await self._rights.learn(caller, repo, Plane.FILES, closings)
        missing = {one.oid: why for one in wanted if (why := _why_missing(one, said.get(one.oid))) is not None}
        await self.keep(repo, ((one.oid, one.size) for one in wanted if one.oid not in missing))
        return LfsAnswer(missing, self._everybody(repo), CacheOutcome.MISS)

    def _everybody(self, repo: RepoId) -> bool:
        return self._catalogue.public_since(repo, Plane.FILES) is not None


def _why_missing(one: LfsPointer, said: LfsOffer | LfsMissing | None) -> LfsMissing | None:
    """Why the caller does not get the object; None when it does. Its length is the origin's to say: a caller's word
    for it would be believed of the digest by all."""
    match said:
        case None:
            return LfsMissing(404, "the origin says nothing of this object")
        case LfsMissing():
            return said
        case LfsOffer() if said.size != one.size or not object_facts(one.oid, one.size).can_be:
            return LfsMissing(422, f"the object {one.oid} is not {one.size} bytes long")
        case LfsOffer():
            return None
        case _:
            assert_never(said)


def object_facts(sha256: str, size: int) -> FileFacts:
    """An object as a file: its digest is its name."""
    return FileFacts(sha256, size, linked=True, key=BlobKey.sha256(sha256))


def _kept(enough: Enough) -> CacheOutcome:
    return CacheOutcome.HIT if enough is Enough.FRESH else CacheOutcome.STALE


def _counter(target: OciBlob) -> ObjectTarget:
    return ObjectTarget(target.repo, target.sha256, Counter.REGISTRY)


def _unnamed() -> OriginRefused:
    return OriginRefused(404, "no manifest of this repo has named this blob; fetch its manifest first")


def _elsewhere(moved: MovedTo, target: ObjectTarget) -> ObjectTarget:
    """The same object under the repo's other name."""
    there = None if moved.raw_target is None else paths.parse(moved.raw_target, _METHODS[target.counter])
    if isinstance(there, OciBlob | LfsBatch):
        return replace(target, repo=there.repo)
    raise OriginLied("the origin redirects an object to something else")


def _place(repo: RepoId, sha256: str) -> FileTarget:
    return FileTarget(repo, NOWHERE, f"//{sha256}")
