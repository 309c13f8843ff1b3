"""Whom to ask: the owner, and for what is hot somebody else who has it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from proxy.cluster.members import Member, View
from proxy.cluster.placement import HALF_LIFE, SLICES, TELLING, Demand, relief, width
from proxy.core.blob import BlobKey
from proxy.core.clock import ManualClock

KEY = BlobKey.sha256("7a" * 32)
MEMBERS = tuple(Member(f"n{number}", f"http://n{number}", 1) for number in range(8))
VIEW = View(1, MEMBERS, "n0")
HOT = (KEY, 0)
RANKED = VIEW.ranked(*HOT)
OWNER = RANKED[0].url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def demand(clock: ManualClock) -> Demand:
    """Enough questions, evenly over other slices and owners, to tell what is hot."""
    found = Demand(clock)
    for number in range(TELLING * 100):
        index = number % 100 + 1
        found.asked((KEY, index), VIEW.ranked(KEY, index)[0].url)
    return found


def test_what_is_asked_for_as_often_as_the_rest_is_its_owners(demand: Demand) -> None:
    demand.asked(HOT, OWNER)
    assert width(HOT, RANKED[0], RANKED, demand) == 1
    assert relief(HOT, RANKED, "n0", demand, Random(1)) is None


def test_a_slice_that_is_read_in_parts_is_asked_for_once(clock: ManualClock) -> None:
    demand = Demand(clock)
    for _ in range(32):
        demand.asked(HOT, OWNER, 1 / 32)
    for number in range(TELLING * len(RANKED)):
        demand.asked((KEY, number + 1), OWNER)
    assert width(HOT, RANKED[0], RANKED, demand) == 1


def test_before_there_is_anything_to_tell_owners_are_asked(clock: ManualClock) -> None:
    few = Demand(clock)
    for _ in range(TELLING * len(RANKED) - 1):
        few.asked(HOT, OWNER)
    assert width(HOT, RANKED[0], RANKED, few) == 1
    few.asked(HOT, OWNER)
    assert width(HOT, RANKED[0], RANKED, few) == len(RANKED)


def test_the_hotter_a_slice_the_more_nodes_share_it(demand: Demand) -> None:
    widths = []
    for _ in range(60):
        demand.asked(HOT, OWNER)
        widths.append(width(HOT, RANKED[0], RANKED, demand))
    assert widths == sorted(widths)
    assert widths[0] == 1
    assert widths[-1] == len(RANKED)


def test_askers_of_a_hot_slice_go_to_all_that_share_it(demand: Demand) -> None:
    for _ in range(200):
        demand.asked(HOT, OWNER)
    chance = Random(1)
    chosen = Counter(relief(HOT, RANKED, "n0", demand, chance) for _ in range(800))
    others = [member for member in RANKED[1:] if member.name != "n0"]
    assert all(60 < chosen[member] < 140 for member in others)
    assert set(chosen) == {None, *others}


def test_an_owner_over_its_share_is_relieved_of_what_was_asked_for_before(demand: Demand) -> None:
    demand.asked(HOT, OWNER)
    demand.asked(HOT, OWNER)
    assert width(HOT, RANKED[0], RANKED, demand) == 1
    for number in range(40):
        demand.asked((KEY, 1000 + number), OWNER)
    assert width(HOT, RANKED[0], RANKED, demand) == 2
    demand.asked(cold := (KEY, 9999), OWNER)
    assert width(cold, RANKED[0], RANKED, demand) == 1


def test_a_heavy_owner_may_be_asked_for_more(demand: Demand) -> None:
    heavy = (Member("heavy", OWNER, 8), *RANKED[1:])
    for number in range(40):
        demand.asked((KEY, 1000 + number), OWNER)
    demand.asked(HOT, OWNER)
    demand.asked(HOT, OWNER)
    assert width(HOT, heavy[0], heavy, demand) == 1


def test_heat_fades(demand: Demand, clock: ManualClock) -> None:
    for _ in range(60):
        demand.asked(HOT, OWNER)
    assert width(HOT, RANKED[0], RANKED, demand) == 8
    clock.advance(10 * HALF_LIFE)
    demand.asked(HOT, OWNER)
    assert demand.of(HOT) < 1.1
    assert width(HOT, RANKED[0], RANKED, demand) == 1


def test_counts_are_bounded_and_the_hot_ones_stay(clock: ManualClock) -> None:
    demand = Demand(clock)
    for _ in range(5):
        demand.asked(HOT, OWNER)
    for number in range(3 * SLICES):
        demand.asked((KEY, number + 1), OWNER)
    assert len(demand) <= SLICES
    assert demand.of(HOT) == 5


def test_alone_there_is_nobody_to_relieve_us(clock: ManualClock) -> None:
    demand = Demand(clock)
    for _ in range(100):
        demand.asked(HOT, OWNER)
    assert relief(HOT, RANKED[:1], RANKED[0].name, demand, Random(1)) is None
