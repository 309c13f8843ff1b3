"""How much load a mirror bears: the highest rate at which conditions still hold, searched on one running stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from . import verdict
from .conditions import Condition
from .conduct import drive
from .folder import folder_of_a_run
from .live import Silent
from .record import Loop, Run
from .recording import recorded
from .scenario import Scenario, ScenarioError
from .standing import Stand, Watcher, standing
from .wanted import Wanted, plan_of
from .words import told
from .yardsticks import value

CLOSE_ENOUGH: Final = 1.1
"""The search ends when what fails is less than so many times what holds."""
MOST_PROBES: Final = 16
LOWEST: Final = 0.1
"""Sessions a second below which there is no point in searching."""


class Limit(StrEnum):
    """What ended the search."""

    CONDITIONS = "conditions"
    """At a higher rate they do not hold."""
    GENERATOR = "generator"
    """At a higher rate the load itself did not come as it should: the mirror may bear more."""
    PROBES = "probes"
    """There were enough of them."""
    NOTHING = "nothing holds"
    """They do not even hold at the lowest rate."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """What is known: the highest rate that held, the lowest that did not."""

    held: float | None = None
    failed: float | None = None

    def noted(self, rate: float, *, held: bool) -> Bracket:
        if held:
            return Bracket(max(rate, self.held or 0.0), self.failed)
        return Bracket(self.held, min(rate, self.failed or rate))

    def next(self, begin: float) -> float | None:
        """The rate to try; None when the search is over. Doubles or halves until it has both sides, then goes between
        (by the geometric mean, because what counts is the ratio)."""
        match self.held, self.failed:
            case None, None:
                return begin
            case held, None if held is not None:
                return held * 2
            case None, failed if failed is not None:
                return failed / 2 if failed / 2 >= LOWEST else None
            case held, failed if held is not None and failed is not None:
                return (held * failed) ** 0.5 if failed / held > CLOSE_ENOUGH else None
        raise AssertionError("there are four cases")


@dataclass(frozen=True, slots=True)
class Probe:
    """One rate that was tried. `why` it did not hold, in words; empty if it did."""

    rate: float
    why: str
    generator: str | None
    """Why the generator was the bottleneck, if it was."""

    @property
    def held(self) -> bool:
        return not self.why


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search. `rate` in sessions a second; None if nothing held. `run`: the best one that held."""

    rate: float | None
    limit: Limit
    probes: tuple[Probe, ...]
    run: Run | None


async def search(wanted: Wanted, conditions: list[Condition], tell: Callable[[Probe], None]) -> Found:
    """Raises ScenarioError for a scenario that has no rate to search, and one of `running.BROKEN`."""
    if wanted.scenario.load.shape == "herd" or wanted.trace is not None:
        raise ScenarioError("a herd, or a replay, has no rate to be searched")
    watcher = Silent()
    with folder_of_a_run() as folder:
        async with standing(plan_of(wanted, folder), watcher) as stand:
            return await searched(stand, wanted, conditions, tell, watcher)


async def searched(
    stand: Stand,
    wanted: Wanted,
    conditions: list[Condition],
    tell: Callable[[Probe], None],
    watcher: Watcher,
    *,
    most_probes: int = MOST_PROBES,
) -> Found:
    """The search on a stand that is there already."""
    bracket, best = Bracket(), None
    probes: list[Probe] = []
    while len(probes) < most_probes:
        rate = bracket.next(wanted.scenario.load.rate)
        if rate is None:
            return Found(bracket.held, limit_of(bracket, probes), tuple(probes), best)
        at_rate = _at(wanted.scenario, rate)
        run = recorded(wanted.name, at_rate, await drive(stand, at_rate, watcher))
        probe = judged(rate, run, conditions)
        probes.append(probe)
        tell(probe)
        if probe.held:
            best = run
        bracket = bracket.noted(rate, held=probe.held)
    return Found(bracket.held, Limit.PROBES, tuple(probes), best)


def limit_of(bracket: Bracket, probes: Sequence[Probe]) -> Limit:
    """What ended a search that came to its end."""
    if bracket.held is None:
        return Limit.NOTHING
    failed = next(probe for probe in probes if probe.rate == bracket.failed)
    return Limit.CONDITIONS if failed.generator is None else Limit.GENERATOR


def judged(rate: float, run: Run, conditions: list[Condition]) -> Probe:
    """Whether a run holds: nothing failed in it, and all conditions are met."""
    faults = [finding.text for finding in verdict.findings(run) if finding.weight is verdict.Weight.FAULT]
    broken = []
    for condition in conditions:
        found = value(run, condition.yardstick)
        if not condition.holds(found):
            broken.append(f"{condition.text} (found: {told(found, condition.yardstick.unit)})")
    return Probe(rate, "; ".join([*faults, *broken]), run.generator.saturated)


def _at(scenario: Scenario, rate: float) -> Scenario:
    """The same by the clock, at another rate; faults and promises are of another question."""
    load = scenario.load.model_copy(update={"rate": rate, "loop": Loop.OPEN})
    return scenario.model_copy(update={"load": load, "faults": (), "promises": ()})
