"""The search for the highest rate, against mirrors whose limit is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.conditions import parsed
from bench.find_max import CLOSE_ENOUGH, LOWEST, MOST_PROBES, Bracket, Limit, Probe, judged, limit_of
from tests.kit.runs import sampled_run


def searched(limit: float, begin: float) -> tuple[Bracket, int]:
    bracket, probes = Bracket(), 0
    while (rate := bracket.next(begin)) is not None:
        bracket = bracket.noted(rate, held=rate <= limit)
        probes += 1
    return bracket, probes


@given(st.floats(1.0, 500.0), st.floats(1.0, 500.0))
def test_the_limit_is_found_from_either_side(limit: float, begin: float) -> None:
    bracket, probes = searched(limit, begin)
    assert bracket.held is not None
    assert bracket.failed is not None
    assert bracket.held <= limit < bracket.failed <= bracket.held * CLOSE_ENOUGH * 1.001
    assert probes <= MOST_PROBES


def test_a_mirror_that_holds_nothing_ends_the_search() -> None:
    bracket, _ = searched(0.0, 20.0)
    assert bracket.held is None
    assert bracket.failed is not None
    assert bracket.failed / 2 < LOWEST


def test_a_run_holds_when_nothing_failed_and_all_conditions_are_met() -> None:
    good = sampled_run(seconds=3)
    run = replace(good, errors=(), promises=())
    assert judged(5.0, run, [parsed("ttfb_p50<100s")]).held
    missed = judged(5.0, run, [parsed("ttfb_p50<100s"), parsed("ttfb_p50<1us")])
    assert not missed.held
    assert missed.why.startswith("ttfb_p50<1us (found: ")


def test_a_wrong_byte_holds_nothing() -> None:
    run = sampled_run(seconds=3)
    wrong = replace(run, verification=replace(run.verification, wrong=1))
    assert "wrong bytes" in judged(5.0, wrong, []).why


@pytest.mark.parametrize(
    ("generator", "limit"), [(None, Limit.CONDITIONS), ("its loop lagged 200 ms", Limit.GENERATOR)]
)
def test_who_was_the_limit_is_told_by_the_lowest_rate_that_did_not_hold(generator: str | None, limit: Limit) -> None:
    probes = [Probe(20, "too slow", "busy"), Probe(10, "", None), Probe(11, "too slow", generator)]
    assert limit_of(Bracket(held=10, failed=11), probes) is limit


def test_a_generator_that_was_late_at_first_does_not_end_the_search() -> None:
    assert limit_of(Bracket(held=None, failed=0.1), [Probe(0.1, "too slow", "busy")]) is Limit.NOTHING
    assert Bracket(held=None, failed=20).next(20) == 10
