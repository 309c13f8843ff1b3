"""No two nodes wait for each other: every pair of what one does and what it is asked."""

from __future__ import annotations

import pytest

from proxy.core.blob import BlobKey
from proxy.core.errors import AskAnother
from proxy.core.sizes import MIB
from proxy.core.spans import Span
from proxy.fetch.crossings import Crossings

PLACE = (BlobKey.sha256("ab" * 32), 0)
SPAN = Span(2 * MIB, 4 * MIB)


def serves(crossings: Crossings, span: Span = SPAN) -> bool:
    try:
        with crossings.serving(PLACE, span):
            return True
    except AskAnother:
        return False


def test_who_reads_from_nobody_serves_everybody() -> None:
    crossings = Crossings()
    assert serves(crossings)
    assert len(crossings) == 0


def test_what_is_being_read_from_a_peer_is_given_to_none() -> None:
    crossings = Crossings()
    with crossings.asking(PLACE, SPAN):
        assert not serves(crossings)
        assert not serves(crossings, Span(0, SPAN.start + 1)), "one byte in common is enough"
    assert serves(crossings)


def test_what_comes_from_the_origin_is_given_to_everybody() -> None:
    crossings = Crossings()
    with crossings.fetching(PLACE, SPAN):
        assert serves(crossings)
        assert crossings.is_fetching(PLACE, [SPAN, Span(3 * MIB, 4 * MIB)])
        assert not crossings.is_fetching(PLACE, [Span(3 * MIB, 5 * MIB)])
        assert not crossings.is_fetching((PLACE[0], 1), [SPAN])
    assert not crossings.is_fetching(PLACE, [SPAN])
    assert crossings.is_fetching(PLACE, [])


@pytest.mark.parametrize("span", [Span(0, 2 * MIB), Span(4 * MIB, 6 * MIB)])
def test_other_bytes_of_the_slice_are_another_matter(span: Span) -> None:
    crossings = Crossings()
    with crossings.asking(PLACE, SPAN):
        assert serves(crossings, span)
    with crossings.serving(PLACE, SPAN):
        assert crossings.is_serving(PLACE, SPAN)
        assert not crossings.is_serving(PLACE, span)


def test_the_same_read_twice_ends_once_at_a_time() -> None:
    crossings = Crossings()
    with crossings.asking(PLACE, SPAN):
        with crossings.asking(PLACE, SPAN):
            pass
        assert not serves(crossings)
    assert (serves(crossings), len(crossings)) == (True, 0)
