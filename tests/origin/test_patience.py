"""Patience ends, and begins anew with each byte."""

from __future__ import annotations

from random import Random

from proxy.origin.patience import LONGEST_PAUSE, MOST_CUTS, Patience


def test_it_forgives_as_many_failures_in_a_row_as_it_was_told() -> None:
    patience = Patience(3, Random(1))
    assert [patience.pause() is None for _ in range(4)] == [False, False, False, True]


def test_no_retries_is_no_patience() -> None:
    assert Patience(0, Random(1)).pause() is None


def test_a_byte_renews_it() -> None:
    patience = Patience(1, Random(1))
    for _ in range(10):
        assert patience.pause() is not None
        patience.progressed()


def test_pauses_grow_with_jitter_and_stay_bounded() -> None:
    patience = Patience(20, Random(1))
    pauses = [patience.pause() or 0.0 for _ in range(20)]
    assert 0.05 <= pauses[0] <= 0.1
    assert all(0 < pause <= LONGEST_PAUSE for pause in pauses)
    assert pauses[10] > 10 * pauses[0]
    assert len(set(pauses)) == 20


def test_progress_by_the_byte_does_not_last_for_ever() -> None:
    patience = Patience(4, Random(1))
    cuts = 0
    while patience.pause() is not None:
        patience.progressed()
        cuts += 1
    assert cuts == MOST_CUTS
