"""Is a run good, and if not, why? Decided in one place for the exit code, the terminal and the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from .record import Check, Run
from .words import NOTHING, Unit, told
from .yardsticks import late_share

LATE_DOUBT = 0.01
"""Share of late or dropped arrivals from which on the load was not the load that was asked for."""
FEW_LATE = 5
"""So few of them tell nothing, whatever their share."""
_COUNTS_END = ("node-kill", "node-restart")
"""Faults after which a mirror counts from nothing."""
SHORT_SECONDS = 10.0
"""A run shorter than this shows that things work, not how fast."""


class Weight(IntEnum):
    """How much a finding weighs."""

    GOOD = 0
    DOUBT = 1
    """The numbers may mislead."""
    FAULT = 2
    """The run has failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a run."""

    weight: Weight
    text: str


def findings(run: Run) -> list[Finding]:
    """All there is to say, the worst first."""
    found = [*_of_bytes(run), *_of_accounts(run), *_of_errors(run), *_of_promises(run), *_of_the_load(run)]
    return sorted(found, key=lambda finding: -finding.weight)


def weight(found: list[Finding]) -> Weight:
    """The worst of them."""
    return max((finding.weight for finding in found), default=Weight.GOOD)


def headline(worst: Weight) -> str:
    """The answer in a few words."""
    return {
        Weight.GOOD: "Good",
        Weight.DOUBT: "Nothing failed, but the numbers may mislead",
        Weight.FAULT: "Failed",
    }[worst]


def _of_bytes(run: Run) -> Iterator[Finding]:
    checked, received = run.verification, run.conservation.client_bytes
    if checked.wrong:
        yield Finding(Weight.FAULT, f"wrong bytes at {checked.wrong:,} {'place' if checked.wrong == 1 else 'places'}")
    if not received:
        yield Finding(Weight.FAULT, "not one byte was delivered")
    elif checked.mode is Check.NONE:
        yield Finding(Weight.DOUBT, "no byte was compared with what it must be (verification: none)")
    elif not checked.bytes_checked:
        yield Finding(Weight.DOUBT, f"no byte was compared, although verification was {checked.mode}")
    elif not checked.wrong:
        how = "all compared" if checked.mode is Check.FULL else "compared by their stamps"
        yield Finding(Weight.GOOD, f"{told(checked.bytes_checked, Unit.BYTES)} {how}: every byte right")


def _of_accounts(run: Run) -> Iterator[Finding]:
    account = run.conservation
    for one in account.sums:
        if not one.holds:
            gap = told(abs(one.left - one.right), Unit.BYTES)
            sides = f"{one.left:,} against {one.right:,} bytes, {gap} apart where {one.slack:,} bytes are allowed"
            yield Finding(Weight.FAULT, f"the accounts do not add up: {one.name}: {sides}")
    if not account.sums and any(mark.name.startswith(_COUNTS_END) for mark in run.marks):
        yield Finding(Weight.DOUBT, "the accounts could not be compared: a mirror that was killed took its along")
    elif not account.sums:
        yield Finding(Weight.DOUBT, "nobody compared the accounts of client, proxy and origin")
    elif account.holds:
        yield Finding(Weight.GOOD, "client, proxy and origin agree on every byte")


def _of_errors(run: Run) -> Iterator[Finding]:
    unexpected = [one for one in run.errors if not one.expected]
    for one in unexpected:
        yield Finding(Weight.FAULT, f"{one.name}, {_times(one.count)}; for example: {one.example}")
    if not unexpected:
        yield Finding(Weight.GOOD, "no request failed that should not")
    expected = [f"{one.name} ({_times(one.count)})" for one in run.errors if one.expected]
    if expected:
        yield Finding(Weight.GOOD, f"failed as the scenario expects: {', '.join(expected)}")
    if run.generator.returned:
        times = _times(run.generator.returned)
        yield Finding(Weight.GOOD, f"{times} a client was cut off, or found nobody there, and came again")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{told(count, Unit.COUNT)} times"


def _of_promises(run: Run) -> Iterator[Finding]:
    for promise in run.promises:
        if promise.kept:
            yield Finding(Weight.GOOD, f"as the scenario demands: {promise.text} (found: {promise.found})")
        elif promise.found == NOTHING:
            yield Finding(
                Weight.DOUBT, f"the scenario demands {promise.text}; this run cannot tell (too short for it?)"
            )
        else:
            yield Finding(Weight.FAULT, f"the scenario demands {promise.text}; found: {promise.found}")


def _of_the_load(run: Run) -> Iterator[Finding]:
    if run.generator.saturated is not None:
        yield Finding(Weight.DOUBT, f"the load generator was the bottleneck: {run.generator.saturated}")
    share = late_share(run)
    late, dropped = run.generator.late, run.generator.dropped
    if share is not None and share > LATE_DOUBT and late + dropped >= FEW_LATE:
        counts = f"{late:,} late and {dropped:,} dropped of {run.generator.planned:,}"
        yield Finding(Weight.DOUBT, f"the load came late: {counts} ({told(share, Unit.SHARE)})")
    if run.seconds < SHORT_SECONDS:
        yield Finding(Weight.DOUBT, f"only {run.seconds:.1f} s: it shows that things work, not how fast")
