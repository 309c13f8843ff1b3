"""Rights: what a caller may read of a repo, and how a refusal is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .errors import OriginRefused


class Plane(Enum):
    """Gated repos show their metadata and their card to all and their files to few: each is judged apart."""

    API = "api"
    CARD = "card"
    """The README. Who may read the files may read it; the other way round it says nothing."""
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Denied:
    """A fresh refusal of the origin, to be repeated as it was."""

    refusal: OriginRefused
