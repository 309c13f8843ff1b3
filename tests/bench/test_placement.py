"""The load of a fleet under Zipf's law, by the modules that decide in production."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from bench import placement
from bench.placement import Outcome, Setting

EIGHT = Setting(nodes=8, slices=2000, requests=20_000)
HUNDRED = Setting(nodes=100, slices=2000, requests=60_000, disk=0.05)


@cache
def simulate(setting: Setting) -> Outcome:
    """Once for all tests: the same setting has the same outcome."""
    return placement.simulate(setting)


def test_of_eight_nodes_the_hottest_carries_at_most_1_3_of_the_mean() -> None:
    for disk in (0.02, 0.3):
        assert simulate(replace(EIGHT, disk=disk)).hottest <= 1.3


def test_of_a_hundred_nodes_the_hottest_carries_at_most_1_6_of_the_mean() -> None:
    assert simulate(HUNDRED).hottest <= 1.6


def test_relief_makes_the_hottest_node_cooler_and_costs_the_origin_nothing() -> None:
    without, relieved = simulate(replace(HUNDRED, relieved=False)), simulate(HUNDRED)
    assert relieved.hottest_for_peers < 0.95 * without.hottest_for_peers
    assert relieved.origin < 1.02 * without.origin


def test_with_room_for_all_each_slice_comes_from_the_origin_once() -> None:
    outcome = simulate(replace(EIGHT, slices=500, disk=1.0))
    assert outcome.origin <= 500


def test_the_command_prints_setting_and_outcome() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.placement", "--nodes", "3", "--slices", "50", "--requests", "500"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = json.loads(done.stdout)
    assert told["setting"]["nodes"] == 3
    assert 1.0 <= told["outcome"]["hottest"] < 3.0
