"""An outage costs its first few clients a wait, and nobody after them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.breaker import Breaker, BreakerState, Rest
from proxy.core.clock import ManualClock

REST = Rest(failures=5, window=30.0, shortest=1.0, longest=30.0)


def breaker() -> tuple[Breaker, ManualClock]:
    clock = ManualClock()
    return Breaker(REST, clock, Random(1)), clock


def fail(one: Breaker, times: int = REST.failures) -> None:
    for _ in range(times):
        assert one.admit() is None
        one.failed(one.turn)


def reopen(one: Breaker, clock: ManualClock) -> float:
    """Let the pause pass; gives how long it was."""
    began = clock.now
    while one.refusal() is not None:
        clock.advance(0.25)
    return clock.now - began


def test_failures_in_a_row_open_it() -> None:
    one, _ = breaker()
    fail(one, REST.failures - 1)
    assert one.refusal() is None
    fail(one, 1)
    assert one.state is BreakerState.OPEN
    assert one.admit() == 1


def test_an_answer_between_failures_ends_the_row() -> None:
    one, _ = breaker()
    fail(one, REST.failures - 1)
    one.succeeded(one.turn)
    fail(one, REST.failures - 1)
    assert one.state is BreakerState.CLOSED


def test_failures_far_apart_are_no_row() -> None:
    one, clock = breaker()
    fail(one, REST.failures - 1)
    clock.advance(REST.window + 1)
    fail(one, 1)
    assert one.state is BreakerState.CLOSED


def test_after_the_pause_one_trial_is_let_through() -> None:
    one, clock = breaker()
    fail(one)
    reopen(one, clock)
    assert one.admit() is None
    assert one.state is BreakerState.HALF_OPEN
    assert one.admit() == 1


def test_a_successful_trial_closes_it() -> None:
    one, clock = breaker()
    fail(one)
    reopen(one, clock)
    one.admit()
    one.succeeded(one.turn)
    assert one.state is BreakerState.CLOSED
    assert one.admit() is None
    assert one.admit() is None


def test_a_trial_that_is_abandoned_lets_another_try() -> None:
    one, clock = breaker()
    fail(one)
    reopen(one, clock)
    one.admit()
    one.abandoned(one.turn)
    assert one.admit() is None


def test_failed_trials_double_the_pause_up_to_the_longest() -> None:
    one, clock = breaker()
    fail(one)
    pauses = []
    for _ in range(10):
        pauses.append(reopen(one, clock))
        fail(one, 1)
    assert pauses[0] <= 1.25
    assert pauses[-1] > 10
    assert max(pauses) <= REST.longest + 0.25


def test_a_straggler_does_not_close_what_others_opened() -> None:
    one, _ = breaker()
    one.admit()
    turn = one.turn
    fail(one)
    one.succeeded(turn)
    assert one.state is BreakerState.OPEN


@pytest.mark.parametrize("word", ["succeeded", "failed", "abandoned"])
def test_a_straggler_has_no_say_while_a_trial_runs(word: str) -> None:
    one, clock = breaker()
    one.admit()
    straggler = one.turn
    fail(one)
    reopen(one, clock)
    assert one.admit() is None
    getattr(one, word)(straggler)
    assert one.state is BreakerState.HALF_OPEN
    assert one.admit() == 1, "the trial runs still: nobody is let in beside it"
    one.succeeded(one.turn)
    assert one.state is BreakerState.CLOSED


def test_a_trial_of_before_has_no_say_about_the_next() -> None:
    one, clock = breaker()
    fail(one)
    reopen(one, clock)
    one.admit()
    first = one.turn
    one.failed(first)
    reopen(one, clock)
    assert one.admit() is None
    one.abandoned(first)
    assert one.admit() == 1


@given(st.lists(st.sampled_from(["admit", "succeeded", "failed", "abandoned", "wait"]), max_size=200))
def test_it_never_stays_shut_and_never_lets_two_trials_run(events: list[str]) -> None:
    one, clock = breaker()
    under_way: list[int] = []
    trials = 0
    for event in events:
        if event == "wait":
            clock.advance(1.0)
        elif event == "admit":
            was_open = one.state is not BreakerState.CLOSED
            if one.admit() is None:
                under_way.append(one.turn)
                trials += was_open
                assert trials <= 1 or not was_open
        elif under_way:
            getattr(one, event)(under_way.pop(0))
        if one.state is not BreakerState.HALF_OPEN:
            trials = 0
    for turn in under_way:
        one.abandoned(turn)
    clock.advance(REST.longest + 1)
    assert one.refusal() is None, "when nobody is under way and time has passed, somebody may ask"
