"""Blobs whose bytes came wrong: tried again once, then left alone for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.core.blob import BlobKey
from proxy.core.bounded import BoundedDict
from proxy.core.clock import Clock
from proxy.core.errors import DigestMismatch

_REMEMBERED: Final = 3600.0
_REST: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Record:
    mismatches: int
    last: float


class Mistrust:
    """Counts digest mismatches per blob. The first may be an accident on the way, so the next reader fetches anew; from
    the second within an hour on the blob rests for a minute after each: a lying origin is not asked by every client."""

    def __init__(self, clock: Clock, *, blobs: int = 1000) -> None:
        self._clock = clock
        self._records: BoundedDict[BlobKey, _Record] = BoundedDict(entries=blobs)

    def mismatched(self, key: BlobKey) -> None:
        """The bytes of `key` were whole and wrong."""
        now = self._clock.monotonic()
        known = self._records.get(key)
        earlier = known.mismatches if known is not None and now - known.last < _REMEMBERED else 0
        self._records.put(key, _Record(earlier + 1, now))

    def check(self, key: BlobKey) -> None:
        """Raises DigestMismatch while the blob rests."""
        known = self._records.get(key)
        if known is not None and known.mismatches > 1 and self._clock.monotonic() - known.last < _REST:
            raise DigestMismatch(
                "the origin has sent wrong bytes for this file more than once; it is asked again in a minute"
            )
