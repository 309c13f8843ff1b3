"""The Cache-Status field (RFC 9211): how an answer came about, in words other caches use too."""

from __future__ import annotations

from typing import Final

from proxy.fetch.coordinator import CacheOutcome

_WORDS: Final = {
    CacheOutcome.NONE: "",
    CacheOutcome.HIT: "hit",
    CacheOutcome.STALE: "fwd=stale; detail=origin-away",
    CacheOutcome.REVALIDATED: "fwd=stale; fwd-status=304",
    CacheOutcome.MISS: "fwd=miss; stored",
    CacheOutcome.COALESCED: "fwd=miss; collapsed",
    CacheOutcome.BYPASS: "fwd=bypass",
    CacheOutcome.NEGATIVE: "hit; detail=negative",
}
_BYTES_DECIDE: Final = frozenset({CacheOutcome.MISS, CacheOutcome.COALESCED, CacheOutcome.BYPASS, CacheOutcome.STALE})


def cache_status(outcome: CacheOutcome, *, unverified: bool = False) -> str:
    """The field's value; the bare name when the answer is the mirror's own (RFC 9211 §2). `unverified`: these bytes are
    pinned by validator and length, their digest is not proven yet."""
    words = _WORDS[outcome]
    detail = "detail=unverified" if unverified and "detail" not in words else ""
    return "; ".join(part for part in ("penstock", words, detail) if part)


def combined(located: CacheOutcome, bytes_from: CacheOutcome) -> CacheOutcome:
    """One outcome for a file of which facts and bytes were had apart.

    Where the bytes had to come from the origin, that is the story. Where they were here, it is how the facts were
    known; if the origin was asked for those it confirmed what we hold (a hit asks nobody)."""
    if bytes_from in _BYTES_DECIDE:
        return bytes_from
    return CacheOutcome.REVALIDATED if located in (CacheOutcome.MISS, CacheOutcome.COALESCED) else located
