"""Theory, and that the simulation agrees with it where theory holds."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scale import che
from bench.scale.outcome import Wanted, simulated
from bench.scenario import Scenario, parsed

INDEPENDENT: dict[str, dict[str, object]] = {
    "catalogue": {"popular": 1500, "once": 4000, "mean": "30MB", "sigma": 0.7, "most": "60MB", "small_files": 0},
    "load": {"rate": 20},
    "clients": {"acts": {"snapshot": 1}, "once_share": 0.1},
}
"""What Che's approximation speaks of: readings that know nothing of one another, files that are read in one go."""


def scenario(**clients: float) -> Scenario:
    return parsed({**INDEPENDENT, "clients": {**INDEPENDENT["clients"], **clients}}, "test")


def test_files_of_one_size_and_popularity_hit_by_the_share_that_is_there() -> None:
    rates, sizes = np.full(1000, 0.5), np.full(1000, 2.0)
    assert che.byte_hit_ratio(rates, sizes, 500.0) == pytest.approx(0.25, abs=1e-4)


def test_with_room_for_all_everything_but_what_passes_hits() -> None:
    rates, sizes = np.full(10, 1.0), np.full(10, 1.0)
    assert che.byte_hit_ratio(rates, sizes, 10.0) == 1.0
    assert che.byte_hit_ratio(rates, sizes, 1e9, passing=10.0) == pytest.approx(0.5, abs=1e-4)


def test_what_was_empty_a_moment_ago_hits_little() -> None:
    rates, sizes = np.full(10, 1.0), np.full(10, 1.0)
    assert che.byte_hit_ratio(rates, sizes, 10.0, since=0.1) == pytest.approx(1 - np.exp(-0.1))


@pytest.mark.parametrize("cache", [0.05, 0.2])
@pytest.mark.parametrize("alpha", [0.7, 1.1])
def test_one_node_that_evicts_the_longest_unread_hits_as_theory_says(cache: float, alpha: float) -> None:
    wanted = Wanted(nodes=1, cache=cache, requests=20_000, seed=1, lru=True)
    found = simulated(scenario(alpha=alpha), wanted)
    assert found.hit_ratio == pytest.approx(found.theory, abs=0.02)


def test_the_store_s_own_eviction_hits_more_than_theory_says_of_the_longest_unread() -> None:
    found = simulated(scenario(), Wanted(nodes=1, cache=0.05, requests=20_000, seed=1, ghosts=300))
    assert found.hit_ratio > found.theory + 0.02
