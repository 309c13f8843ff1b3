"""The search for the highest rate, against mirrors whose limit is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import find_max
from bench.conditions import parsed
from bench.find_max import CLOSE_ENOUGH, LOWEST, MOST_PROBES, Bracket, judged
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


@pytest.mark.parametrize("limit", list(find_max.Limit))
def test_every_end_of_a_search_has_words(limit: find_max.Limit) -> None:
    assert str(limit)
