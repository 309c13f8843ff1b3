"""hf_xet, for what the origin gives by Xet alone: spans of a file as ordered streams (the extra `penstock[xet]`).

Theory of operation. hf_xet makes its own connections, in threads of its own. What we hand it is an access token of the
Xet store and that store's address, never a token of the Hub. Each stream has a session to itself, because a session is
all of hf_xet that can be ended at once (1.8.0):

    stream.cancel()          refuses while another thread waits for the next block ("already borrowed")
    group.abort()            lets what is being received run into its timeout, and the waiting thread with it
    session.sigint_abort()   ends threads and connections within milliseconds, whatever they wait for

A session costs ten milliseconds and two threads. Memory is bounded by its buffer: the file is asked for in stretches of
2 to 8 MiB (the faster, the longer), so the first bytes of a span come soon.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import importlib.util
import logging
import os
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.config.origins import OriginSection
from proxy.core.errors import RangeMangled, XetNeeded
from proxy.core.secret import Secret
from proxy.core.sizes import KIB, MIB
from proxy.core.spans import Span
from proxy.core.threads import Threads

from .incoming import TransferCut
from .observer import HostClass, OriginObserver

T = TypeVar("T")
log: Final = logging.getLogger(__name__)

STREAMS: Final = 8
"""Most streams under way in one worker; each may hold 16 MiB and what its last stretch has."""
END_WITHIN: Final = 2.0
"""Seconds within which a stream that is let go has to end."""
_PIECE: Final = 256 * KIB
_NEVER: Final = 4_102_444_800
"""Unix time, far off. Told half a minute before the end of a token, hf_xet wants to renew it and gives up, having
nobody to ask; when a token is used up is our own business."""
_ENVIRONMENT: Final = {"HF_XET_LOG_DEST": "/dev/null", "TOKIO_WORKER_THREADS": "2"}
"""What it reads from there alone: its log would go to ~/.cache, its threads would be as many as cores."""
_M_MMAP_THRESHOLD: Final = -3
"""mallopt(3)'s name for the size from which on memory is taken from the kernel, and given back when it is freed."""
_STATUS: Final = re.compile(r"\(([1-5][0-9]{2}) ")


@dataclass(frozen=True, slots=True)
class XetAccess:
    """The right to read of a Xet store: its address and a token of its own. `until` in seconds of wall time."""

    url: str
    token: Secret
    until: float


class XetStreams:
    """Streams of one worker. Makes nothing until the first one is asked for."""

    def __init__(self, config: OriginSection, folder: Path | None, observer: OriginObserver) -> None:
        """`folder` is where hf_xet keeps what it must (nothing of the files); None: it is not used."""
        self._config = config
        self._folder = folder
        self._observer = observer
        self._turns = asyncio.Semaphore(STREAMS)
        self._loaded: tuple[Any, Any] | None = None
        self.at_hand: Final = config.xet and folder is not None and is_installed()
        """Whether hf_xet is there and may be used."""

    def require(self) -> None:
        """Raises XetNeeded when hf_xet is not at hand."""
        if not self.at_hand:
            raise _needed("this mirror has no hf_xet, or is told not to use it (origin.xet)")

    async def read(self, access: XetAccess, name: str, size: int, span: Span) -> AsyncGenerator[bytes, None]:
        """The bytes of `span` of the file that Xet knows as `name`, in order. What they are is not verified at all.

        Only when hf_xet is at hand. Raises XetNeeded when it is too old, TransferCut when it fails or ends early,
        RangeMangled when it gives more."""
        library, settings = await asyncio.to_thread(self._load)
        async with self._turns:
            stream = _Stream(library, settings)
            try:
                await stream.begin(access, name, size, span)
                left = len(span)
                while block := await stream.block():
                    self._observer.bytes(HostClass.XET.value, len(block))
                    if len(block) > left:
                        raise RangeMangled("the origin's Xet store sent more bytes than were asked for")
                    left -= len(block)
                    for start in range(0, len(block), _PIECE):
                        yield block[start : start + _PIECE]
            finally:
                await stream.end()
        if left:
            raise TransferCut(f"the transfer from the origin's Xet store ended {left} bytes early")

    def _load(self) -> tuple[Any, Any]:
        """hf_xet and its settings. Takes a moment the first time: not for the event loop. Raises XetNeeded."""
        if self._loaded is None:
            # Before the library is loaded, which reads it then.
            os.environ.update(_ENVIRONMENT, HF_XET_CACHE=str(self._folder))
            _give_back_memory()
            library = importlib.import_module("hf_xet")
            try:
                self._loaded = library, library.XetConfig().with_config(_settings(self._config))
            except (AttributeError, ValueError):
                raise _needed("the hf_xet of this mirror is too old for that") from None
        return self._loaded


def is_installed() -> bool:
    """Whether there is a hf_xet to import, of whatever age."""
    return importlib.util.find_spec("hf_xet") is not None


def _give_back_memory() -> None:
    """Have glibc give back what large blocks took. It raises the threshold by itself with every large block that is
    freed, up to 32 MiB, until they all lie in heaps that hardly shrink: after 1.3 GiB by Xet a worker held 410 MiB more
    than at its start, with the threshold held 70 to 160, as after plain HTTP. Other C libraries have no such thing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _PIECE)


def _needed(why: str) -> XetNeeded:
    return XetNeeded(
        f"the Hub gives this file by Xet alone, and {why}; for its operator: pip install 'penstock[xet]', start anew"
    )


def _settings(config: OriginSection) -> dict[str, object]:
    """What would come from the environment otherwise. Its retries are few: ours ask for a new token, too."""
    return {
        "telemetry.enabled": False,
        "chunk_cache.size_bytes": 0,
        "client.connect_timeout": f"{config.connect_timeout * 1000:.0f}ms",
        "client.read_timeout": f"{config.read_timeout * 1000:.0f}ms",
        "client.retry_max_attempts": 1,
        "client.retry_base_delay": "100ms",
        "client.ac_initial_download_concurrency": 2,
        "client.ac_max_download_concurrency": 2,
        "reconstruction.min_reconstruction_fetch_size": 2 * MIB,
        "reconstruction.max_reconstruction_fetch_size": 8 * MIB,
        "reconstruction.target_block_completion_time": "2s",
        "reconstruction.min_prefetch_buffer": 4 * MIB,
        "reconstruction.download_buffer_size": 16 * MIB,
        "reconstruction.download_buffer_perfile_size": 0,
        "reconstruction.download_buffer_limit": 16 * MIB,
    }


class _Stream:
    """One stream, its session, and two threads: one that waits for blocks, one that can end the waiting."""

    def __init__(self, library: Any, settings: Any) -> None:
        self._library = library
        self._session = library.XetSession(settings)
        self._threads = Threads("xet", 2)
        self._blocks: Any = None
        self._waiting: Future[Any] | None = None

    async def begin(self, access: XetAccess, name: str, size: int, span: Span) -> None:
        self._blocks = await self._told(lambda: self._opened(access, name, size, span))

    async def block(self) -> bytes | None:
        """The next bytes, None at the end."""
        block: bytes | None = await self._told(lambda: next(self._blocks, None))
        return block

    async def end(self) -> None:
        """End threads and connections, whatever they wait for, and let go of them. Once."""
        ending = _submitted(self._threads, self._session.sigint_abort)
        self._threads.close()
        jobs = [asyncio.wrap_future(job) for job in (ending, self._waiting) if job is not None and not job.done()]
        for job in jobs:
            job.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody's business any more
        if jobs and (await asyncio.wait(jobs, timeout=END_WITHIN))[1]:
            log.warning("a stream of hf_xet does not end", extra={"waited": END_WITHIN})
        # An error on its way to who asked keeps us by its traceback; the session's descriptors must not wait for that.
        self._session = self._blocks = self._waiting = None

    def _opened(self, access: XetAccess, name: str, size: int, span: Span) -> Any:
        group = self._session.new_download_stream_group(
            endpoint=access.url, token=access.token.reveal(), token_expiry_unix_secs=_NEVER
        )
        file = self._library.XetFileInfo(name, size)
        return iter(group.download_stream(file, start=span.start, end=span.stop))

    async def _told(self, work: Callable[[], T]) -> T:
        """What `work` comes to in a thread. Its errors are put into our words: theirs hold presigned addresses."""
        job = self._waiting = _submitted(self._threads, work)
        try:
            return await asyncio.wrap_future(job)
        except (OSError, RuntimeError, ValueError) as error:
            status = _STATUS.search(str(error))
            told = f" with status {status[1]}" if status else ""
            raise TransferCut(f"hf_xet failed{told} ({type(error).__name__})") from None


def _submitted(threads: Threads, work: Callable[[], T]) -> Future[T]:
    job: Future[T] = Future()
    threads.submit(lambda: _perform(job, work))
    return job


def _perform(job: Future[T], work: Callable[[], T]) -> None:
    if not job.set_running_or_notify_cancel():
        return
    try:
        outcome = work()
    except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
        # a panic of the library is a BaseException, and would end the loop
        told = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
        # without our frames, which hold the job that holds it: a circle around the library's descriptors
        job.set_exception(told.with_traceback(None))
    else:
        job.set_result(outcome)
