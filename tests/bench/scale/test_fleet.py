"""A simulated fleet: who is asked, what is counted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from bench.load.catalogue import File
from bench.scale import outcome
from bench.scale.fleet import Fleet, Setting
from bench.scale.outcome import Outcome, Wanted
from bench.scale.trace import Reading, Visit, catalogue_of, visits
from bench.scenario import LoadTable, Scenario, parsed

SLICES = parsed(
    {
        "catalogue": {"popular": 2000, "mean": "64MB", "sigma": 0, "small_files": 0},
        "load": {"rate": 5000},
        "clients": {"acts": {"file": 1}, "styles": {"stream": 1}},
    },
    "test",
)
"""Files of one slice, wanted by Zipf's law and nothing else."""
SESSIONS = parsed(
    {
        "catalogue": {"popular": 100, "releases": 10, "once": 100, "mean": "200MB", "sigma": 1.5, "small_files": 4},
        "load": {"rate": 50},
        "clients": {
            "acts": {"snapshot": 1, "look": 1, "range": 1, "small": 1, "head": 1},
            "styles": {"stream": 6, "ranges": 2, "resume": 1, "abort": 1, "slow": 1},
            "release_share": 0.2,
            "once_share": 0.1,
        },
    },
    "test",
)
EIGHT = Wanted(nodes=8, cache=0.4, requests=15_000, seed=1)
TIGHT = Wanted(nodes=24, cache=0.5, requests=15_000, seed=1)
HUNDRED = Wanted(nodes=100, cache=5.0, requests=30_000, seed=1)


@cache
def simulated(wanted: Wanted) -> Outcome:
    """Once for all tests: the same has the same outcome. Each node is asked by 50 readers a second."""
    load = LoadTable(rate=50.0 * wanted.nodes)
    return outcome.simulated(SLICES.model_copy(update={"load": load}), wanted)


def sessions(wanted: Wanted) -> Outcome:
    return outcome.simulated(SESSIONS, wanted)


def one_file(number: int, size: int = 1 << 26) -> File:
    return File("model.safetensors", size, f"file {number}", linked=True)


def visit(at: float, lot: float, file: File) -> Visit:
    return Visit(at, "acme/one", False, (), (Reading(file, 0, file.size, 125e6, 1, lot),))


def test_of_eight_nodes_the_hottest_carries_at_most_1_3_of_the_mean() -> None:
    assert simulated(EIGHT).hottest <= 1.3


def test_of_a_hundred_nodes_the_hottest_carries_at_most_1_6_of_the_mean() -> None:
    assert simulated(HUNDRED).hottest <= 1.6


def test_relief_makes_the_hottest_owner_cooler_and_costs_the_origin_nothing() -> None:
    without, relieved = simulated(replace(TIGHT, relieved=False)), simulated(TIGHT)
    assert relieved.hottest_for_peers < 0.9 * without.hottest_for_peers
    assert relieved.origin_times < 1.02 * without.origin_times


def test_with_room_for_all_each_slice_comes_from_the_origin_once() -> None:
    assert sessions(Wanted(nodes=8, cache=20.0, requests=20_000, seed=1)).origin_times == pytest.approx(1.0)


def test_the_same_seed_has_the_same_outcome_and_another_seed_another() -> None:
    wanted = Wanted(nodes=5, cache=0.2, requests=5_000, seed=3)
    assert sessions(wanted) == sessions(wanted)
    assert sessions(wanted).hit_ratio != sessions(replace(wanted, seed=4)).hit_ratio


def test_more_cache_hits_more() -> None:
    ratios = [sessions(Wanted(nodes=5, cache=share, requests=10_000, seed=1)).hit_ratio for share in (0.1, 0.4, 2.0)]
    assert ratios == sorted(ratios)
    assert ratios[0] + 0.1 < ratios[-1]


def test_what_is_wanted_comes_from_the_own_disk_from_peers_or_from_the_origin() -> None:
    setting = Setting(nodes=5, room=10**9, seed=1)
    fleet = Fleet(setting)
    whole = parsed({**SESSIONS.model_dump(), "clients": {"acts": {"snapshot": 1}}}, "test")
    fleet.play(visits(whole, catalogue_of(whole, 1), 1), 4_000)
    books = fleet.books
    assert sum(books.taken_in) == sum(books.to_peers) + books.origin
    assert books.missed_bytes <= sum(books.taken_in)
    assert sum(books.to_readers) == books.wanted_bytes


def test_what_is_kept_at_the_second_reading_alone_is_written_less() -> None:
    wanted = Wanted(nodes=5, cache=0.5, requests=5_000, seed=1)
    always, again = sessions(wanted), sessions(replace(wanted, kept_again=True))
    assert again.written_per_second < 0.9 * always.written_per_second


def test_a_herd_at_all_nodes_costs_the_origin_one_file() -> None:
    fleet, file = Fleet(Setting(nodes=10, room=1 << 34)), one_file(1, 300 << 20)
    fleet.play([visit(0.001 * number, number / 64, file) for number in range(64)], 1000)
    assert fleet.books.all_origin == file.size
    assert fleet.books.unique == file.size


def test_a_lost_node_costs_what_it_alone_had() -> None:
    lasting = sessions(Wanted(nodes=5, cache=20.0, requests=20_000, seed=1))
    lost = sessions(Wanted(nodes=5, cache=20.0, requests=20_000, seed=1, lose_at=15_000))
    assert lasting.origin_times < lost.origin_times < lasting.origin_times + 0.3


def test_while_nodes_differ_on_who_owns_a_slice_the_lease_keeps_it_at_one_fetch() -> None:
    """The last node dies. Everybody who comes in that moment finds out alone, and goes on to the next in rank, or is
    the next itself: at most one of them may go to the origin."""
    fleet = Fleet(Setting(nodes=4, room=1 << 34, lose_at=1))
    files = [one_file(number) for number in range(40)]
    began = visit(0.0, 0.0, one_file(1000))
    fleet.play(
        [began, *(visit(1 + number / 1e4, lot / 4, f) for number, f in enumerate(files) for lot in range(4))], 999
    )
    assert fleet.books.all_origin == fleet.books.unique


def test_redis_is_asked_twice_for_a_slice_that_is_filled_and_never_for_a_hit() -> None:
    fleet, file = Fleet(Setting(nodes=3, room=1 << 34)), one_file(1)
    fleet.play([visit(float(number), 0.0, file) for number in range(10)], 1000)
    assert fleet.redis.calls["lease"] == 2


@pytest.mark.parametrize("scenario", [SLICES, SESSIONS])
def test_a_trace_is_in_order_and_inside_its_files(scenario: Scenario) -> None:
    at = 0.0
    for number, one in enumerate(visits(scenario, catalogue_of(scenario, 1), 1)):
        assert one.at >= at
        at = one.at
        for reading in one.readings:
            assert 0 <= reading.start <= reading.stop <= reading.file.size
        if number == 500:
            return
