"""One run as it was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .load import catalogue
from .load.trace import Trace
from .scenario import Scenario
from .standing import Plan, Target


@dataclass(frozen=True, slots=True)
class Wanted:
    """One run as it was asked for."""

    name: str
    scenario: Scenario
    target: Target | None = None
    hub_listen: str = "127.0.0.1:0"
    trace: Trace | None = None
    """Replay this; the scenario says the rest."""


def plan_of(wanted: Wanted, folder: Path) -> Plan:
    scenario = wanted.scenario
    repos = wanted.trace.catalogue if wanted.trace else catalogue.drawn(scenario.catalogue.extent(), scenario.seed)
    return Plan(scenario, repos, folder, wanted.target, wanted.hub_listen, wanted.trace)
