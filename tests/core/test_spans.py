from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.spans import Span, coalesce, subtract, total, whole

spans = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: Span(min(pair), max(pair)))
units = st.integers(1, 20)


def positions(*many: Span) -> set[int]:
    return {at for span in many for at in range(span.start, span.stop)}


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (-2, -1)])
def test_a_span_refuses_to_be_wrong(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span(start, stop)


@given(spans)
def test_a_span_is_its_positions(span: Span) -> None:
    assert len(span) == len(positions(span))
    assert bool(span) == bool(positions(span))
    assert {at for at in range(70) if at in span} == positions(span)
    assert str(span) == f"[{span.start},{span.stop})"


@given(spans, spans)
def test_relations_are_those_of_the_positions(one: Span, other: Span) -> None:
    assert one.covers(other) == (positions(other) <= positions(one))
    assert one.overlaps(other) == bool(positions(one) & positions(other))
    assert positions(one.clip(other)) == positions(one) & positions(other)


@given(spans, spans)
def test_a_clipped_span_stays_inside(one: Span, other: Span) -> None:
    clipped = one.clip(other)
    assert one.start <= clipped.start <= clipped.stop <= one.stop


@given(spans, units, st.integers(0, 20))
def test_aligned_is_the_least_span_of_whole_units_that_covers(span: Span, unit: int, rest: int) -> None:
    size = span.stop + rest
    touched = positions(*(Span(at // unit * unit, at // unit * unit + unit) for at in positions(span)))
    assert positions(span.aligned(unit, size)) == {at for at in touched if at < size}


@given(spans, units)
def test_split_cuts_at_multiples_and_loses_nothing(span: Span, unit: int) -> None:
    pieces = list(span.split(unit))
    assert [at for piece in pieces for at in range(piece.start, piece.stop)] == list(range(span.start, span.stop))
    assert all(len({at // unit for at in positions(piece)}) == 1 for piece in pieces)
    assert [piece.start // unit for piece in pieces] == list(span.units(unit))


@given(st.lists(spans, max_size=8), st.integers(0, 5))
def test_coalesce_joins_what_lies_near_and_nothing_else(many: list[Span], gap: int) -> None:
    joined = coalesce(many, gap)
    holes = positions(*joined) - positions(*many)
    assert positions(*many) <= positions(*joined)
    assert all(before.stop + gap < after.start for before, after in pairwise(joined))
    assert all(any(abs(hole - at) <= gap for at in positions(*many)) for hole in holes)
    assert gap or not holes


@given(spans, st.lists(spans, max_size=8))
def test_subtract_leaves_what_no_hole_has(span: Span, holes: list[Span]) -> None:
    rest = subtract(span, holes)
    assert positions(*rest) == positions(span) - positions(*holes)
    assert list(rest) == sorted(rest)
    assert all(rest)


@given(st.lists(spans))
def test_total_counts_overlaps_twice(many: list[Span]) -> None:
    assert total(many) == sum(len(positions(span)) for span in many)


def test_whole_is_every_byte() -> None:
    assert whole(7) == Span(0, 7)
    assert not whole(0)
