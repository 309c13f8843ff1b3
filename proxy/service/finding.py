"""What `penstock doctor` finds: a thing that was looked at, how it stands, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    GOOD = "good"
    POOR = "poor"
    """It works, and could be better."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what mends it."""

    about: str
    verdict: Verdict
    says: str
    fix: str = ""
