"""Peers judged by their answers."""

from __future__ import annotations

import pytest

from proxy.cluster.health import FIRST, FORGIVEN, LIED, LONGEST, Ejections
from proxy.core.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ejections(clock: ManualClock) -> Ejections:
    return Ejections(clock)


def test_who_fails_is_out_for_three_seconds(ejections: Ejections, clock: ManualClock) -> None:
    assert ejections.failed("b")
    clock.advance(FIRST - 0.01)
    assert ejections.out() == {"b"}
    clock.advance(0.01)
    assert ejections.out() == frozenset()


def test_who_fails_again_is_out_twice_as_long_up_to_a_minute(ejections: Ejections, clock: ManualClock) -> None:
    lengths = []
    for _ in range(8):
        ejections.failed("b")
        lengths.append(ejections.next_return() - clock.monotonic())
        clock.advance(lengths[-1])
    assert lengths == [3, 6, 12, 24, 48, LONGEST, LONGEST, LONGEST]


def test_the_crowd_of_requests_that_fail_together_counts_once(ejections: Ejections, clock: ManualClock) -> None:
    assert [ejections.failed("b") for _ in range(5)] == [True, False, False, False, False]
    assert ejections.next_return() == clock.monotonic() + FIRST


def test_a_late_answer_of_one_that_is_out_does_not_bring_it_back(ejections: Ejections, clock: ManualClock) -> None:
    ejections.failed("b")
    ejections.succeeded("b")
    assert ejections.out() == {"b"}


def test_an_answer_after_the_return_makes_it_as_good_as_new(ejections: Ejections, clock: ManualClock) -> None:
    for _ in range(2):
        ejections.failed("b")
        clock.advance(ejections.next_return() - clock.monotonic())
    ejections.succeeded("b")
    ejections.failed("b")
    assert ejections.next_return() == clock.monotonic() + FIRST


def test_an_old_failure_is_forgiven(ejections: Ejections, clock: ManualClock) -> None:
    ejections.failed("b")
    clock.advance(FIRST + FORGIVEN * FIRST)
    ejections.failed("b")
    assert ejections.next_return() == clock.monotonic() + FIRST


def test_a_restarted_peer_is_another_one(ejections: Ejections) -> None:
    ejections.failed("b")
    ejections.forget("b")
    assert ejections.out() == frozenset()


def test_who_lied_is_out_for_long_whatever_it_answers(ejections: Ejections, clock: ManualClock) -> None:
    ejections.failed("b")
    ejections.lied("b")
    clock.advance(LIED - 1)
    ejections.succeeded("b")
    assert not ejections.failed("b")
    assert ejections.out() == {"b"}
    clock.advance(1)
    assert ejections.out() == frozenset()


def test_who_is_gone_is_forgotten(ejections: Ejections) -> None:
    ejections.failed("b")
    ejections.failed("c")
    ejections.keep(frozenset({"c"}))
    assert ejections.out() == {"c"}
    assert ejections.next_return() != float("inf")
