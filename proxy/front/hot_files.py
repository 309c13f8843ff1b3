"""Large files that can be given again: the head they were answered with, and the blob, kept open.

As in `hot`, a copy is of what the full lane has just answered, and lives until the first of: a second is over; the
right is due; anything was taken back (`Changes`). One copy of a 206 serves every single range of the file, one of a
200 the whole. While it lives its blob is not evicted; so it is let go by a timer, asked for or not, and never renewed
early: who comes next finds the file on its disk anew, or does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

from proxy.core.byterange import Ignored, Single, content_range, wanted
from proxy.core.changes import Noted
from proxy.core.spans import Span, whole
from proxy.fetch.coordinator import HeldFile, Located

from .observer import Exchange
from .plainhead import Key, PlainHead

MOST: Final = 128
"""Files that are kept open for it, per worker: each costs two descriptors and a mapping on every disk it lies on."""

FileKey = tuple[Key, bool]
"""What was asked for, and whether a range of it."""


@dataclass(frozen=True, slots=True)
class HeadTemplate:
    """The head of a 200 or a 206 but for its time, its request id, and which bytes it is about."""

    status_line: str
    fields: tuple[tuple[str, str], ...]
    """As they were sent, in their order."""

    def rendered(self, date: str) -> bytes:
        """For `%` with `id` and `range` (text) and `length` (a number)."""
        open_ones = {"X-Request-Id": "%(id)b", "Content-Range": "%(range)b", "Content-Length": "%(length)d"}
        lines = [self.status_line.replace("%", "%%")]
        for name, text in self.fields:
            kept = date if name == "Date" else text.replace("%", "%%")
            lines.append(f"{name}: {open_ones.get(name, kept)}")
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(slots=True)
class HotFile:
    """A copy. It holds `held` until it is dropped; whoever sends of it longer holds it once more."""

    like: Exchange
    """The account of a request that is answered with it."""
    located: Located
    held: HeldFile
    template: HeadTemplate
    noted: Noted
    """Before its facts were looked up."""
    until: float
    """Monotonic."""
    second: int = -1
    """The wall clock's second that it is rendered for."""
    form: bytes = b""

    def span_of(self, head: PlainHead) -> Span | None:
        """What is asked of it; None when that is for the full lane to judge."""
        size = self.located.facts.size
        match wanted(head.range, size):
            case Single(span) if head.range is not None:
                return span
            case Ignored() if head.range is None:
                return whole(size)
            case _:
                return None

    def head(self, second: int, request_id: str, span: Span) -> bytes:
        """The head of an answer with `span` in the wall clock's `second`."""
        if second != self.second:
            self.form, self.second = self.template.rendered(formatdate(second, usegmt=True)), second
        part = content_range(span, self.located.facts.size).encode()
        return self.form % {b"id": request_id.encode(), b"range": part, b"length": len(span)}


class HotFiles:
    """At most `most` copies; the one made first goes first. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        self._now = clock
        self._most = most
        self._kept: dict[FileKey, HotFile] = {}
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: FileKey, now: float) -> HotFile | None:
        """The copy, if it may be given at `now`."""
        file = self._kept.get(key)
        if file is None:
            return None
        if not file.noted.holds or now >= file.until:
            self.drop(key, file)
            return None
        return file

    def put(self, key: FileKey, file: HotFile) -> None:
        """Keep `file`, and hold its blob; not when it is outdated already."""
        seconds = file.until - self._now()
        if not file.noted.holds or seconds <= 0.0:
            return
        self.drop(key, self._kept.get(key))
        file.held.hold()
        self._kept[key] = file
        self._loop.call_later(seconds, self.drop, key, file)
        while len(self._kept) > self._most:
            eldest = next(iter(self._kept))
            self.drop(eldest, self._kept[eldest])

    def drop(self, key: FileKey, file: HotFile | None) -> None:
        """Let `file` go, if it is still the copy for `key`."""
        if file is not None and self._kept.get(key) is file:
            del self._kept[key]
            file.held.release()
