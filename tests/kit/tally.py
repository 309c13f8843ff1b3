"""The faults of a synthetic Hub, with a count of how often they struck a transfer of file bytes."""

from __future__ import annotations

from bench.hub.faults import (
    Act,
    ChangeContent,
    ChangeETag,
    Chunked,
    Cut,
    Fail,
    Faults,
    FlipByte,
    Gzip,
    IgnoreRange,
    RateLimited,
    Reset,
    ShiftContentRange,
    Stall,
    WrongLength,
)
from bench.hub.messages import FILE_KINDS, Asked, Kind, Plane

_WASTEFUL = (
    *(ChangeContent, ChangeETag, Chunked, Cut, Fail, FlipByte, Gzip, IgnoreRange),
    *(RateLimited, Reset, ShiftContentRange, Stall, WrongLength),
)
"""Acts after which some bytes may rightly be fetched again."""


class TalliedFaults(Faults):
    """`strikes` survives `clear`, unlike the faults themselves."""

    strikes = 0

    def take(self, plane: Plane, kind: Kind, asked: Asked) -> tuple[Act, ...]:
        acts = super().take(plane, kind, asked)
        if kind in FILE_KINDS:
            self.strikes += sum(isinstance(act, _WASTEFUL) for act in acts)
        return acts
