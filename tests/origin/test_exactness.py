"""Only the exact range is the range."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.errors import OriginLied, SourceChanged
from proxy.core.sizes import CHUNK
from proxy.core.spans import Span, whole
from proxy.origin.exactness import SKIPPED, Body, guard, judge_transfer
from proxy.origin.head import Head


@st.composite
def wanted_of_file(draw: st.DrawFn) -> tuple[Span, int]:
    size = draw(st.integers(1, 10**13))
    start = draw(st.integers(0, size - 1))
    return Span(start, draw(st.integers(start + 1, size))), size


def right(span: Span, size: int) -> Head:
    fields = [("Content-Range", f"bytes {span.start}-{span.stop - 1}/{size}"), ("Content-Length", str(len(span)))]
    return Head.of(206, [*fields, ("ETag", '"v1"')])


@given(wanted_of_file())
def test_the_exact_range_is_taken_from_its_first_byte(wanted: tuple[Span, int]) -> None:
    assert judge_transfer(right(*wanted), *wanted, '"v1"') == Body(0, ends_there=True)


@given(wanted_of_file(), wanted_of_file())
def test_any_other_range_is_refused(wanted: tuple[Span, int], sent: tuple[Span, int]) -> None:
    assume(wanted != sent)
    with pytest.raises(OriginLied):
        judge_transfer(right(*sent), *wanted, None)


@given(wanted_of_file(), st.text(alphabet="bytes 0123456789-/*,+", max_size=30))
def test_no_other_spelling_is_taken(wanted: tuple[Span, int], text: str) -> None:
    head = right(*wanted)
    assume(text != head.first("content-range"))
    fields = tuple((name, text if name == "content-range" else value) for name, value in head.fields)
    with pytest.raises(OriginLied):
        judge_transfer(replace(head, fields=fields), *wanted, None)


@given(wanted_of_file())
def test_a_whole_is_read_over_up_to_the_span_or_refused(wanted: tuple[Span, int]) -> None:
    span, size = wanted
    head = Head.of(200, [("Content-Length", str(size))])
    if span.start <= SKIPPED:
        assert judge_transfer(head, span, size, None) == Body(span.start, ends_there=span.stop == size)
    else:
        with pytest.raises(OriginLied):
            judge_transfer(head, span, size, None)


@pytest.mark.parametrize(("pinned", "sent"), [('"v1"', '"v1"'), ('W/"v1"', None), (None, None)])
def test_only_a_strong_tag_guards_a_range(pinned: str | None, sent: str | None) -> None:
    assert guard(pinned) == sent


def test_a_tag_may_become_weak_where_the_bytes_are_proven_before_any_goes_out() -> None:
    def judged(size: int) -> None:
        judge_transfer(Head.of(200, [("ETag", 'W/"v1"'), ("Content-Length", str(size))]), whole(size), size, '"v1"')

    judged(CHUNK)
    with pytest.raises(SourceChanged):
        judged(CHUNK + 1)
