"""Warming: a repo at a revision is fetched before anybody asks for it, with the listings that clients ask for.

It reads as a client would, so everything holds that holds for clients: one fetch per fleet, proof by digest, rights.
What is here already costs nothing, so begun again after a restart it goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, assert_never

from proxy.core.caller import ANONYMOUS, Caller, bearer
from proxy.core.clock import Clock
from proxy.core.errors import MalformedTarget, OriginAway, OriginBusy, OriginRefused, PenstockError
from proxy.core.secret import Secret
from proxy.core.sizes import MIB
from proxy.core.spans import Span, whole
from proxy.core.tasks import TaskSet
from proxy.fetch.coordinator import CacheOutcome, Coordinator, Located
from proxy.fetch.reading import FilePiece, MemoryPiece, Piece
from proxy.hub import listings, paths
from proxy.hub.facts import FileFacts
from proxy.hub.names import FileTarget, RepoId, Revision
from proxy.hub.targets import Refs, RepoInfo, Tree
from proxy.service.doctor import repo_named

from .choice import Choice
from .rate import Rate
from .runner import JobFailed, Progress

AT_ONCE: Final = 4
"""Files fetched at a time."""
STEP: Final = 8 * MIB
"""Bytes asked for at a time under a cap."""
MOST_TOLD: Final = 100
"""Files that failed and are named in the result."""
LONGEST_PAUSE: Final = 60.0
"""Seconds between two tries while the origin is away."""

MOST_PAGES: Final = 20_000
"""Pages of one list of files, of a thousand each: an origin that goes round in circles does not keep us for ever."""

T = TypeVar("T")


class Warmer:
    """Carries out `warm` orders over `mirror`. `key` is this process' own, for the identities of callers."""

    def __init__(self, mirror: Coordinator, clock: Clock, key: bytes) -> None:
        self._mirror = mirror
        self._clock = clock
        self._key = key

    async def warm(self, order: dict[str, Any], progress: Progress) -> None:
        """Fetch `repo` at `revision`: the files that `include` and `exclude` choose. Raises JobFailed."""
        progress.files = progress.bytes = 0
        caller = await self._caller(order.get("token_file"))
        repo, revision = repo_named(order["repo"]), Revision(order["revision"])
        progress.note = "asking for the list of files"
        try:
            commit = await self._patiently(lambda: self._described(caller, repo, revision), progress)
            chosen = Choice(tuple(order["include"]), tuple(order["exclude"]))
            files = [
                (path, facts) async for path, facts in self._tree(caller, repo, commit, progress) if chosen.takes(path)
            ]
        except OriginRefused as refusal:
            raise JobFailed(f"the origin refuses {repo} at {revision}: {refusal.message}{_advice(refusal)}") from None
        if not files:
            raise JobFailed(f"no file of {repo} at {revision} is chosen by these patterns")
        progress.result = {"commit": commit}
        progress.files_total, progress.bytes_total = len(files), sum(facts.size for _, facts in files)
        await self._fetch_all(caller, repo, commit, files, Rate(order["rate"], self._clock), progress)

    async def _caller(self, token_file: str | None) -> Caller:
        if token_file is None:
            return ANONYMOUS
        try:
            text = await asyncio.to_thread(Path(token_file).read_text, "ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise JobFailed(f"the token file {token_file} cannot be read by the node: {error}") from None
        return bearer(Secret(text.strip()), self._key)

    async def _described(self, caller: Caller, repo: RepoId, revision: Revision) -> str:
        """What clients ask about the repo, and the commit that `revision` means."""
        told = await self._mirror.metadata(caller, RepoInfo(repo, revision, ()), None)
        commit = listings.read_info(told.body).commit
        if commit is None:
            raise JobFailed(f"the origin names no commit of {repo} at {revision}")
        for question in (RepoInfo(repo, Revision(commit), ()), RepoInfo(repo, None, ()), Refs(repo, ())):
            await self._mirror.metadata(caller, question, None)
        return commit

    async def _tree(
        self, caller: Caller, repo: RepoId, commit: str, progress: Progress
    ) -> AsyncIterator[tuple[str, FileFacts]]:
        """Every file at the commit, page by page, as clients list it."""
        page: Tree | None = Tree(repo, Revision(commit), "", (("recursive", "true"),))
        for _ in range(MOST_PAGES):
            if page is None:
                return
            told = await self._patiently(partial(self._mirror.metadata, caller, page, None), progress)
            for path, facts in listings.read_files(told.body):
                yield path, facts
            page = _next_page(told.next_target)
        raise JobFailed(f"the list of files of {repo} does not end: there are more than {MOST_PAGES} pages")

    async def _patiently(self, ask: Callable[[], Awaitable[T]], progress: Progress) -> T:
        """What `ask` gives, tried again while the origin is away: a job outlives an outage."""
        pause = 1.0
        while True:
            try:
                return await ask()
            except OriginAway as away:
                progress.note = f"the origin is away, trying again: {away}"
                await asyncio.sleep(min(LONGEST_PAUSE, away.retry_after if isinstance(away, OriginBusy) else pause))
                pause = min(LONGEST_PAUSE, pause * 2)

    async def _fetch_all(
        self,
        caller: Caller,
        repo: RepoId,
        commit: str,
        files: list[tuple[str, FileFacts]],
        rate: Rate,
        progress: Progress,
    ) -> None:
        failed: dict[str, str] = {}
        rest = iter(files)

        async def fetch_some() -> None:
            for path, _ in rest:
                target = FileTarget(repo, Revision(commit), path)
                progress.note = path
                try:
                    await self._patiently(partial(self._fetch, caller, target, rate, progress), progress)
                    progress.files += 1
                except (PenstockError, OSError) as error:
                    if len(failed) < MOST_TOLD:
                        failed[path] = str(error)

        async with TaskSet("warm") as tasks:
            for number in range(AT_ONCE):
                tasks.start(fetch_some(), f"{number}")
            await tasks.join()
        progress.note = ""
        if missing := len(files) - progress.files:
            progress.result = {**progress.result, "failed": failed}
            first = next(iter(failed.items()), ("", ""))
            raise JobFailed(f"{missing} of {len(files)} files could not be fetched; the first: {first[0]}: {first[1]}")

    async def _fetch(self, caller: Caller, target: FileTarget, rate: Rate, progress: Progress) -> None:
        """One file. What it counts in `progress` is taken back when it fails."""
        located = await self._mirror.vouch_for_file(caller, target)
        size = located.facts.size
        counted = 0
        try:
            if rate.is_capped:
                for step in whole(size).split(STEP):
                    if await self._read(caller, located, step) is not CacheOutcome.HIT:
                        await rate.spend(len(step))
                    counted += len(step)
                    progress.bytes += len(step)
            if size:  # also after the steps: a whole body ends when it is proven, and reads nothing that is here
                async with self._mirror.read(caller, located, whole(size)) as reading:
                    async for piece in reading.pieces():
                        more = min(_length(piece), size - counted)
                        counted += more
                        progress.bytes += more
        except BaseException:
            progress.bytes -= counted
            raise

    async def _read(self, caller: Caller, located: Located, span: Span) -> CacheOutcome:
        async with self._mirror.read(caller, located, span) as reading:
            async for _ in reading.pieces():
                pass
            return reading.cache


def _advice(refusal: OriginRefused) -> str:
    """The Hub gives the same answer for what is not there and for what is not shown to everybody."""
    if refusal.status not in (401, 403, 404) or refusal.code == "RevisionNotFound":
        return ""
    return " (it is not there, or not for whoever asks: name a token with --token-file)"


def _length(piece: Piece) -> int:
    match piece:
        case FilePiece():
            return piece.length
        case MemoryPiece():
            return len(piece.content)
        case _:
            assert_never(piece)


def _next_page(raw_target: str | None) -> Tree | None:
    if raw_target is None:
        return None
    try:
        found = paths.parse(raw_target, "GET")
    except MalformedTarget:
        return None
    return found if isinstance(found, Tree) else None
