"""Rights: what a caller may read of a repo, and how a refusal is remembered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .errors import OriginRefused


class Plane(Enum):
    """Gated repos show their metadata to all and their files to few: the two are judged apart."""

    API = "api"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Denied:
    """A fresh refusal of the origin, to be repeated as it was."""

    refusal: OriginRefused
