"""Which origin a target is of, and the name under which responses are kept. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

MOUNTS: Final = "/o/"
"""What the prefixes of mounted origins begin with. Where there are any, nothing else is below it."""


def prefix_of(target: str, prefixes: Collection[str]) -> str | None:
    """The one of `prefixes` ("" is that of the root) under which `target` is; None when no generic origin has it."""
    if is_at_mounts(target, prefixes):
        prefix = target[: target.find("/", len(MOUNTS))]
        return prefix if prefix in prefixes and target.startswith(f"{prefix}/") else None
    return "" if "" in prefixes else None


def is_at_mounts(target: str, prefixes: Collection[str]) -> bool:
    """Whether `target` is where the mounted origins are."""
    return target.startswith(MOUNTS) and any(prefixes)


def place_of(origin: str, target: str) -> bytes:
    """32 bytes for `target` (path and query, as it came) of the origin of that name."""
    return hashlib.sha256(f"{origin}\n{target}".encode("utf-8", "surrogateescape")).digest()
