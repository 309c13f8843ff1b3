"""The tags that an origin puts on its responses, to name many of them at once when they are to be purged."""

from __future__ import annotations

from typing import Final

from .fields import Fields, is_text, members, values

MOST: Final = 256
"""Tags of one response that are kept."""
LONGEST: Final = 1024
"""Characters of one."""


def tags_of(fields: Fields) -> frozenset[str]:
    """The words of Surrogate-Key, which are parted by blanks, and the members of Cache-Tag; none that is no UTF-8."""
    keys = [word for line in values(fields, "surrogate-key") for word in line.split()]
    tags = [member.strip() for line in values(fields, "cache-tag") for member in members(line)]
    return frozenset([tag for tag in (*keys, *tags) if tag and len(tag) <= LONGEST and is_text(tag)][:MOST])
