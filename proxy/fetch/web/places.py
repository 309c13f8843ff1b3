"""The name under which responses are kept. Pure."""

from __future__ import annotations

import hashlib


def place_of(origin: str, target: str) -> bytes:
    """32 bytes for `target` (path and query, as it came) of the origin of that name."""
    return hashlib.sha256(f"{origin}\n{target}".encode("utf-8", "surrogateescape")).digest()
