"""The sealer of a blob: the node that proves it for a fleet of which nobody has the whole (DESIGN D4).

It is the first in rank for slice 0; when that fails, the next. It reads every slice once, from whoever has it, keeps
nothing but digests, and compares the whole with what the origin announces:

    right    the digests are the manifest: stamped, kept, given to all who ask
    wrong    somebody gave wrong bytes, or has them; which slice it was only the origin can say. So the whole is read
             from there, once: if that is right, it is the manifest, and tells who gave what was wrong;
             if not, the blob is wrong for everybody, and whoever asks is told to drop it

The same is done when a node has had a wrong whole from the origin alone (it says so when it is asked): it may be wrong
itself, so nobody drops anything at its word.

A slice that nobody has ends the attempt, and the next goes on there: nothing is fetched that no client asked for.
Whoever has the blob whole and proven is asked first: then there is nothing to read.

Nodes wait here for nobody in a circle: a sealer that is asked asks others only for what they have.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from proxy.core.blob import BlobKey, BlobRecord
from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.core.errors import AskAnother, FoundWrong, OriginBusy, PeerError, PenstockError, StoreError
from proxy.core.hashing import Hasher, HashThreads
from proxy.core.manifest import Manifest, slice_count
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span
from proxy.core.tasks import TaskSet
from proxy.hub.peering import PeerQuestion

from .fleet import OncePerFleet
from .givers import ORIGIN
from .manifests import KnownManifests, slice_span
from .ports import BlobStore, Source
from .shared import SharedCalls

log: Final = logging.getLogger(__name__)

ASKED: Final = 8
"""Peers that are asked whether they know the manifest, one after another."""
KEEPERS: Final = 3
"""Peers that are asked for a slice: the first in rank."""
PATIENCE: Final = 5.0
"""Seconds for which a peer waits for an answer; the reading goes on for the next who asks."""
ATTEMPTS: Final = 256
"""Blobs of which is kept how far the reading has come, or that they are wrong."""
SETTLED_FOR: Final = 3600.0
"""Seconds in which the origin is asked no second time to settle what is right."""
_STEP: Final = MIB
"""Bytes hashed in one go."""


@dataclass(slots=True)
class _Attempt:
    """The slices read so far: the digest of each and who gave it, and that of all of them together."""

    whole: Hasher
    digests: list[str] = field(default_factory=list)
    givers: list[str] = field(default_factory=list)


class Sealer:
    """See the head of the file."""

    def __init__(
        self,
        store: BlobStore,
        ring: OncePerFleet,
        manifests: KnownManifests,
        from_origin: Callable[[PeerQuestion], Source],
        tasks: TaskSet,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ring = ring
        self._fleet = ring.fleet
        self._manifests = manifests
        self._from_origin = from_origin
        self._clock = clock
        self._calls: SharedCalls[Manifest] = SharedCalls(tasks)
        self._attempts: BoundedDict[BlobKey, _Attempt] = BoundedDict(entries=ATTEMPTS)
        self._settled: BoundedDict[BlobKey, float] = BoundedDict(entries=ATTEMPTS)
        self._wrong: BoundedDict[BlobKey, float] = BoundedDict(entries=ATTEMPTS)
        self._doubted: BoundedDict[BlobKey, float] = BoundedDict(entries=ATTEMPTS)

    def doubt(self, key: BlobKey) -> None:
        """The whole was wrong here, as the origin alone had given it."""
        self._doubted.put(key, self._clock.monotonic())

    async def given(self, question: PeerQuestion) -> bytes:
        """For a peer: the stamped manifest. Raises AskAnother, FoundWrong."""
        call = self._known if question.stored_only else self._found
        try:
            async with asyncio.timeout(PATIENCE):
                key = (question.name, question.stored_only)
                manifest = await self._calls.run(key, lambda: call(question), f"manifest {question.name}")
        except (TimeoutError, StoreError):
            raise AskAnother("the blob is not proven yet") from None
        return self._fleet.stamped(manifest)

    async def wanted(self, question: PeerQuestion) -> Manifest:
        """For ourselves: the manifest, from the sealer, or as the sealer. Raises AskAnother, FoundWrong, StoreError."""
        here = await self._manifests.here(question.record)
        if here is not None:
            return here
        for peer in self._fleet.ranked(question.name, 0):
            if peer == self._fleet.us:
                key = (question.name, False)
                return await self._calls.run(key, lambda: self._found(question), f"manifest {question.name}")
            try:
                return await self._kept(question, await self._fleet.manifest(peer, question))
            except (AskAnother, FoundWrong):
                raise  # it is the sealer, and has said so
            except PeerError as failed:
                log.info("the next seals", extra={"blob": str(question.name), "why": str(failed)})
        raise AskAnother("nobody is left to prove the blob")

    async def of_peers(self, question: PeerQuestion) -> Manifest | None:
        """The manifest, if one of the first in rank knows it. Raises FoundWrong when none does, and one has had a whole
        that was wrong."""
        doubt: FoundWrong | None = None
        others = [peer for peer in self._fleet.ranked(question.name, 0) if peer != self._fleet.us]
        for peer in others[:ASKED]:
            try:
                return await self._kept(question, await self._fleet.manifest(peer, question.anew(stored_only=True)))
            except PeerError as failed:
                doubt = failed if isinstance(failed, FoundWrong) else doubt
                log.debug("no manifest", extra={"blob": str(question.name), "why": str(failed)})
        if doubt is not None:
            raise doubt
        return None

    async def _kept(self, question: PeerQuestion, manifest: Manifest) -> Manifest:
        await self._manifests.keep(question.record, manifest)
        return manifest

    async def _known(self, question: PeerQuestion) -> Manifest:
        manifest = await self._manifests.here(question.record)
        if manifest is None:
            if self._lately(self._doubted, question.name) or self._lately(self._wrong, question.name):
                raise FoundWrong("the whole was wrong here, as the origin had given it")
            raise AskAnother("the blob is not proven here")
        return manifest

    def _lately(self, moments: BoundedDict[BlobKey, float], key: BlobKey) -> bool:
        at = moments.get(key)
        return at is not None and self._clock.monotonic() - at < SETTLED_FOR

    async def _found(self, question: PeerQuestion) -> Manifest:
        """As the sealer."""
        if self._lately(self._wrong, question.name):
            raise FoundWrong("the bytes that the origin sends are not those it announces")
        async with self._store.once(f"manifest:{question.name}"):
            # Look again now that we are inside: another worker of ours may have found it while we waited for the lock.
            if (here := await self._manifests.here(question.record)) is not None:
                return here
            try:
                manifest = await self.of_peers(question)
            except FoundWrong:
                return await self._settle(question)
            if manifest is None and self._lately(self._doubted, question.name):
                return await self._settle(question)
            return manifest or await self._read_through(question)

    # --- reading --------------------------------------------------------------------------------------------------

    async def _read_through(self, question: PeerQuestion) -> Manifest:
        name, record = question.name, question.record
        if record.digest is None:
            raise AskAnother("nobody can prove the blob")
        attempt = self._attempts.get(name) or _Attempt(record.digest.hasher(record.size))
        self._attempts.put(name, attempt)
        threads = HashThreads("prove", 1)
        try:
            for index in range(len(attempt.digests), slice_count(record.size)):
                await self._read_slice(attempt, question, index, threads)
            self._attempts.discard(name)
            wrong = attempt.whole.hexdigest() != record.digest.hex
        finally:
            threads.close()
        if wrong:
            return await self._settle(question, attempt)
        return await self._kept(question, Manifest(record.key, record.size, tuple(attempt.digests)))

    async def _read_slice(self, attempt: _Attempt, question: PeerQuestion, index: int, threads: HashThreads) -> None:
        """From us or the first peer that has all of it. Raises AskAnother when nobody has."""
        span = slice_span(question.record, index)
        keepers = [peer for peer in self._fleet.ranked(question.name, index) if peer != self._fleet.us][:KEEPERS]
        for giver in (self._fleet.us, *keepers):
            pieces = (
                self._ours(question.record, span) if giver == self._fleet.us else self._theirs(giver, question, span)
            )
            try:
                await _hash(attempt, pieces, giver, threads)
            except (PeerError, StoreError) as failed:
                log.debug("not there", extra={"blob": str(question.name), "slice": index, "why": str(failed)})
            else:
                return
        raise AskAnother(f"nobody has slice {index} of the blob")

    async def _ours(self, record: BlobRecord, span: Span) -> AsyncGenerator[bytes, None]:
        async with self._store.open_kept(record) as blob:
            await blob.checked(span)
            if blob.missing(span):
                raise AskAnother("the slice is not here")
            for step in span.split(CHUNK):
                yield await blob.content(step)

    def _theirs(self, peer: str, question: PeerQuestion, span: Span) -> AsyncGenerator[bytes, None]:
        return self._fleet.read(peer, question.anew(stored_only=True), span, hops=1)

    # --- when the whole is wrong ------------------------------------------------------------------------------------

    async def _settle(self, question: PeerQuestion, wrong: _Attempt | None = None) -> Manifest:
        """What the origin says; `wrong` is what others gave. Raises AskAnother when it does not, FoundWrong."""
        name, record = question.name, question.record
        log.error("a whole was wrong", extra={"blob": str(name), "from": " ".join(wrong.givers) if wrong else "origin"})
        if self._lately(self._settled, name):
            raise AskAnother("what is right was settled a while ago; it is not read again so soon")
        self._settled.put(name, self._clock.monotonic())
        settled = await self._read_from_origin(question)
        assert record.digest is not None, "what was wrong had a digest"
        if settled.whole.hexdigest() != record.digest.hex:
            self._wrong.put(name, self._clock.monotonic())
            await self._store.drop(record.key, "digest")
            raise FoundWrong("the bytes that the origin sends are not those it announces")
        manifest = Manifest(record.key, record.size, tuple(settled.digests))
        if wrong is not None:
            self._name_those(name, wrong, manifest)
        return await self._kept(question, manifest)

    def _name_those(self, name: BlobKey, wrong: _Attempt, manifest: Manifest) -> None:
        """Who gave slices that are wrong; our own are proven like everybody's."""
        for index in sorted(manifest.wrong_in(wrong.digests)):
            if wrong.givers[index] != self._fleet.us:
                self._ring.givers.blame((name, index), frozenset((wrong.givers[index],)))

    async def _read_from_origin(self, question: PeerQuestion) -> _Attempt:
        """Raises AskAnother."""
        record = question.record
        if record.digest is None:
            raise AskAnother("nobody can prove the blob")
        settled, source = _Attempt(record.digest.hasher(record.size)), self._from_origin(question.without_caller())
        threads = HashThreads("prove", 1)
        try:
            for index in range(slice_count(record.size)):
                await _hash(settled, self._counted(source, slice_span(record, index)), ORIGIN, threads)
        except OriginBusy as busy:
            self._settled.discard(question.name)
            raise AskAnother(str(busy)) from None
        except PenstockError as failed:
            raise AskAnother(f"the origin does not say which slice is wrong: {failed}") from None
        finally:
            threads.close()
        return settled

    async def _counted(self, source: Source, span: Span) -> AsyncGenerator[bytes, None]:
        async with aclosing(source.read(span, can_wait=True)) as pieces:
            async for piece in pieces:
                self._ring.fetched("proof", len(piece))
                yield piece


async def _hash(attempt: _Attempt, pieces: AsyncGenerator[bytes, None], giver: str, threads: HashThreads) -> None:
    """Add a slice to the attempt; nothing when its reading fails."""
    whole, alone, held = attempt.whole.copy(), hashlib.sha256(), bytearray()

    def update(content: bytes) -> None:
        whole.update(content)
        alone.update(content)

    async with aclosing(pieces) as reading:
        async for piece in reading:
            held += piece
            if len(held) >= _STEP:
                await threads.run(update, bytes(held))
                held.clear()
    await threads.run(update, bytes(held))
    attempt.whole = whole
    attempt.digests.append(alone.hexdigest())
    attempt.givers.append(giver)
