"""How the id of a repo is spelt in a path: `namespace/name`, or one name for old models and datasets."""

from __future__ import annotations

import re
from typing import Final

from .names import RepoId, RepoKind

_ONE_SEGMENT: Final = frozenset({RepoKind.MODEL, RepoKind.DATASET})
_SEGMENT: Final = re.compile(r"[\w.\-]{1,96}", re.ASCII)


def widths(kind: RepoKind) -> tuple[int, ...]:
    """How many segments an id of that kind may have."""
    return (1, 2) if kind in _ONE_SEGMENT else (2,)


def repo_of(kind: RepoKind, segments: tuple[str, ...], width: int) -> RepoId | None:
    """The repo whose id is `segments`, `width` of them; None when they spell none."""
    if len(segments) != width or not all(map(_SEGMENT.fullmatch, segments)) or segments[-1].endswith(".git"):
        return None
    return RepoId(kind, "/".join(segments))
