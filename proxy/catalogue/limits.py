"""How large the catalogue may grow."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.sizes import GIB, MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows and bytes on disk, over all workers; entries and bytes in memory, per worker."""

    resolutions: int = 20_000_000
    listings: int = 2_000_000
    listing_bytes: int = 2 * GIB
    resolutions_in_memory: int = 200_000
    listings_in_memory: int = 10_000
    listing_bytes_in_memory: int = 64 * MIB
