"""Objects by their digest: what git-lfs and the registry's clients ask for.

Bytes are shared by digest, permission is not: an object is given out of a repo only if the origin said that it is of
that repo, and only to callers who may read the repo's files. Both are kept; while they are fresh nobody is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.core.blob import BlobKey
from proxy.core.caller import Caller
from proxy.core.errors import OriginAway, OriginRefused
from proxy.core.rights import Plane
from proxy.hub import lfs_batch, paths
from proxy.hub.facts import FileFacts, OriginReply
from proxy.hub.headers import here
from proxy.hub.lfs_batch import LfsMissing, LfsOffer, LfsPointer
from proxy.hub.names import Counter, FileTarget, ObjectTarget, RepoId, Revision
from proxy.hub.problems import refusal_of
from proxy.hub.targets import LfsBatch, OciBlob

from .coordinator import CacheOutcome, LfsAnswer, LocatedObject, MovedTo
from .locate import Rights, is_about_the_repo
from .ports import Catalogue, Origin

NOWHERE = Revision("0" * 40)
"""Git's name for no commit: objects are kept under it, at paths that no request can spell."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of some objects: `facts` by digest."""

    facts: dict[str, FileFacts]

    def all_of(self, wanted: Iterable[LfsPointer]) -> bool:
        return all(one.oid in self.facts and self.facts[one.oid].size == one.size for one in wanted)


class Objects:
    """Answers `lfs_batch` and `layer`."""

    def __init__(self, origin: Origin, catalogue: Catalogue, rights: Rights) -> None:
        self._origin = origin
        self._catalogue = catalogue
        self._rights = rights

    async def lfs_batch(self, caller: Caller, target: LfsBatch, wanted: Sequence[LfsPointer]) -> LfsAnswer | MovedTo:
        """Which of the objects there are for the caller. Raises OriginRefused, OriginAway, OriginLied."""
        repo = target.repo
        known = _Known({one.oid: facts for one in wanted if (facts := self.facts(repo, one.oid)) is not None})
        if self._rights.hold(caller, repo, Plane.FILES) and known.all_of(wanted):
            return LfsAnswer({}, self._everybody(repo), CacheOutcome.HIT)
        closings = self._rights.closings(repo)
        try:
            reply = await self._post(caller, target, wanted)
        except OriginAway:
            if self._rights.hold(caller, repo, Plane.FILES, origin_away=True) and known.all_of(wanted):
                return LfsAnswer({}, self._everybody(repo), CacheOutcome.STALE)
            raise
        if 300 <= reply.status < 400:
            return MovedTo(here(reply.header("location") or ""))
        if reply.status >= 400:
            await self._refuse(caller, repo, reply)
        return await self._learn(caller, repo, wanted, lfs_batch.read_answer(reply.body), closings)

    async def layer(self, caller: Caller, target: OciBlob) -> LocatedObject | MovedTo:
        """A blob of the registry that a manifest, or an LFS batch, of this repo has named."""
        facts = self.facts(target.repo, target.sha256)
        cache = CacheOutcome.HIT
        if not self._rights.hold(caller, target.repo, Plane.FILES):
            cache = CacheOutcome.MISS
            closings = self._rights.closings(target.repo)
            try:
                reply = await self._origin.call("HEAD", paths.render(target), caller)
            except OriginAway:
                if facts is None or not self._rights.hold(caller, target.repo, Plane.FILES, origin_away=True):
                    raise
                cache = CacheOutcome.STALE
            else:
                if reply.status >= 400:
                    await self._refuse(caller, target.repo, reply)
                if (elsewhere := here(reply.header("location") or "")) is not None:
                    return MovedTo(elsewhere)  # proves nothing of this name; where bytes are is no place of the Hub's
                await self._rights.learn(caller, target.repo, Plane.FILES, closings)
        if facts is None:
            raise OriginRefused(404, "no manifest of this repo has named this blob; fetch its manifest first")
        return self.located(ObjectTarget(target.repo, target.sha256, Counter.REGISTRY), facts, cache)

    def located(self, target: ObjectTarget, facts: FileFacts, cache: CacheOutcome) -> LocatedObject:
        return LocatedObject(target, facts, cache, self._everybody(target.repo))

    def facts(self, repo: RepoId, sha256: str) -> FileFacts | None:
        """The object, if it is known to be of the repo."""
        kept = self._catalogue.resolution(_place(repo, sha256))
        return kept if isinstance(kept, FileFacts) else None

    async def keep(self, repo: RepoId, objects: Iterable[tuple[str, int]]) -> None:
        """The origin said that these (digest, size) are of the repo."""
        fresh = [(sha256, size) for sha256, size in objects if self.facts(repo, sha256) is None]
        if fresh:
            files = [(_place(repo, sha256).path, object_facts(sha256, size)) for sha256, size in fresh]
            await self._catalogue.keep_resolutions(repo, NOWHERE.text, files)

    async def _post(self, caller: Caller, target: LfsBatch, wanted: Sequence[LfsPointer]) -> OriginReply:
        fields = (("Content-Type", lfs_batch.MEDIA_TYPE), ("Accept", lfs_batch.MEDIA_TYPE))
        return await self._origin.call(
            "POST", paths.render(target), caller, headers=fields, body=lfs_batch.question(wanted)
        )

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
        offered = [one for one in wanted if isinstance(said.get(one.oid), LfsOffer)]
        if offered:
            await self._rights.learn(caller, repo, Plane.FILES, closings)
            await self.keep(repo, ((one.oid, one.size) for one in offered))
        unsaid = LfsMissing(404, "the origin says nothing of this object")
        missing: dict[str, LfsMissing] = {}
        for one in wanted:
            fate = said.get(one.oid, unsaid)
            if isinstance(fate, LfsMissing):
                missing[one.oid] = fate
        return LfsAnswer(missing, self._everybody(repo), CacheOutcome.MISS)

    def _everybody(self, repo: RepoId) -> bool:
        return self._catalogue.public_since(repo, Plane.FILES) is not None


def object_facts(sha256: str, size: int) -> FileFacts:
    """An object as a file: its digest is its name."""
    return FileFacts(sha256, size, linked=True, key=BlobKey.sha256(sha256))


def _place(repo: RepoId, sha256: str) -> FileTarget:
    return FileTarget(repo, NOWHERE, f"//{sha256}")
