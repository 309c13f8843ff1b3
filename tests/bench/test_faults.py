"""Faults by name: what the synthetic Hub is told, and that it takes it."""

from __future__ import annotations

import pytest

from bench.faults import KINDS, Dials, Origin429, OriginFault, OriginLie, OriginSlow, armed
from bench.hub.faults import Faults

REST = Dials(bandwidth=None, connection_bandwidth=None, latency=0.0)
ORIGIN = [kind for name, kind in KINDS.items() if name.startswith("origin")]


@pytest.mark.parametrize("kind", ORIGIN, ids=lambda kind: kind.__name__)
def test_the_synthetic_hub_knows_every_fault_of_the_origin(kind: type[OriginFault]) -> None:
    name = next(name for name, one in KINDS.items() if one is kind)
    Faults().update(armed([kind.model_validate({"do": name, "at": 0})], REST))


def test_faults_at_the_same_time_are_all_in_force() -> None:
    wanted = armed([Origin429(do="origin-429", at=0), OriginLie(do="origin-lie", at=0, byte=5)], REST)
    assert [act["act"] for act in wanted["faults"]] == ["rate-limited", "flip-byte"]


def test_the_slower_dial_counts_and_returns_to_where_it_was() -> None:
    dials = Dials(bandwidth=50e6, connection_bandwidth=None, latency=0.01)
    slow = [OriginSlow.model_validate({"do": "origin-slow", "at": 0, "bandwidth": "1MB/s", "latency": "1s"})]
    assert (armed(slow, dials)["bandwidth"], armed(slow, dials)["latency"]) == (1e6, 1.0)
    assert (armed([], dials)["bandwidth"], armed([], dials)["latency"]) == (50e6, 0.01)
