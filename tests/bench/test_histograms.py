"""HDR histograms in seconds and bytes per second."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.histograms import Damaged, Histogram, Measure, merged

SECONDS = st.lists(st.floats(1e-6, 3000.0), min_size=1, max_size=60)


def filled(measure: Measure, amounts: list[float]) -> Histogram:
    histogram = Histogram(measure)
    for amount in amounts:
        histogram.add(amount)
    return histogram


@settings(max_examples=40)
@given(SECONDS)
def test_a_percentile_is_right_to_three_digits(amounts: list[float]) -> None:
    greatest = filled(Measure.FIRST_BYTE, amounts).at([100])[0]
    assert greatest == pytest.approx(max(amounts), rel=2e-3, abs=1e-6)


@settings(max_examples=40)
@given(SECONDS, SECONDS)
def test_merging_is_having_seen_both(one: list[float], other: list[float]) -> None:
    together = merged(Measure.SERVICE, (filled(Measure.SERVICE, one), filled(Measure.SERVICE, other)))
    assert together.steps() == filled(Measure.SERVICE, one + other).steps()


@settings(max_examples=40)
@given(SECONDS)
def test_the_text_form_brings_the_same_back(amounts: list[float]) -> None:
    histogram = filled(Measure.SERVICE, amounts)
    assert Histogram.decoded(Measure.SERVICE, histogram.encoded()).steps() == histogram.steps()


def test_a_rate_keeps_its_unit() -> None:
    assert filled(Measure.RATE, [2.5e9]).at([50])[0] == pytest.approx(2.5e9, rel=2e-3)


def test_what_is_out_of_range_is_counted_at_its_end() -> None:
    assert len(filled(Measure.RATE, [0.0, 1e15, -1.0])) == 3


def test_an_empty_one_has_zeros() -> None:
    assert Histogram(Measure.RATE).at([50, 99]) == [0.0, 0.0]


@pytest.mark.parametrize("text", ["", "HISTF", "ü", "HIST!!!!", "HISTFAAAAIF4nO3IsQ3CMBCFYdtxQmS6hCpKh5U1"])
def test_damaged_text_is_named(text: str) -> None:
    with pytest.raises(Damaged):
        Histogram.decoded(Measure.RATE, text)


def test_a_histogram_of_another_range_is_refused() -> None:
    with pytest.raises(Damaged, match="another range"):
        Histogram.decoded(Measure.RATE, filled(Measure.SERVICE, [1.0]).encoded())
