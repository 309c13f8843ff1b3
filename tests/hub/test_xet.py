"""Any range of a file, cut into terms and fetched as xorb ranges, comes together again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.core.spans import Span, total
from proxy.hub.facts import FileFacts
from proxy.hub.xet import (
    HEADER,
    PIECE,
    PIECES,
    XORB,
    file_span,
    is_advertised,
    layout,
    piece_header,
    reconstruction,
    v1_body,
    v2_body,
    wire_span,
    xorb_id,
    xorb_size,
)

ETAG = "ab" * 32
sizes = st.one_of(
    st.integers(1, 3 * PIECE),
    st.integers(XORB - 2, XORB + 2),
    st.integers(1, 5 * XORB),
    st.sampled_from([PIECE, XORB, 2 * XORB, 51_000_000_000]),
)


@st.composite
def spans_of_files(draw: st.DrawFn) -> tuple[int, Span]:
    size = draw(sizes)
    start = draw(st.integers(0, size - 1))
    return size, Span(start, draw(st.integers(start + 1, min(size, start + 3 * XORB))))


@st.composite
def wire_spans(draw: st.DrawFn) -> tuple[int, int, Span]:
    size = draw(sizes)
    index = draw(st.integers(0, (size - 1) // XORB))
    start = draw(st.integers(0, xorb_size(size, index) - 1))
    return size, index, Span(start, draw(st.integers(start + 1, xorb_size(size, index))))


@given(spans_of_files())
def test_terms_hold_the_span_and_nothing_but_whole_pieces_around_it(case: tuple[int, Span]) -> None:
    size, wanted = case
    plan = reconstruction(size, wanted)
    held = [Span(*_file_bytes(size, term.index, term.first, term.stop)) for term in plan.terms]
    assert all(after.start == before.stop for before, after in pairwise(held))
    assert held[0].start + plan.offset == wanted.start
    assert wanted.stop <= held[-1].stop < wanted.stop + PIECE
    assert [term.length for term in plan.terms] == [len(span) for span in held]


@given(spans_of_files())
def test_a_term_s_bytes_in_its_xorb_hold_its_pieces_and_their_headers(case: tuple[int, Span]) -> None:
    size, wanted = case
    for term in reconstruction(size, wanted).terms:
        wire = wire_span(size, term)
        assert len(wire) == term.length + (term.stop - term.first) * HEADER
        assert wire.stop <= xorb_size(size, term.index)
        assert file_span(size, term.index, wire) == Span(*_file_bytes(size, term.index, term.first, term.stop))


@given(wire_spans())
def test_a_layout_is_as_long_as_what_was_asked_and_reads_the_file_once_in_order(case: tuple[int, int, Span]) -> None:
    size, index, wire = case
    parts = list(layout(size, index, wire))
    spans = [part for part in parts if isinstance(part, Span)]
    assert sum(len(part) for part in parts) == len(wire)
    assert all(after.start == before.stop for before, after in pairwise(spans))
    whole = file_span(size, index, wire)
    assert total(spans) == len(whole)
    assert not spans or (spans[0].start, spans[-1].stop) == (whole.start, whole.stop)


@given(wire_spans(), st.integers(1, 2 * PIECE))
def test_a_layout_in_two_requests_is_the_same_as_in_one(case: tuple[int, int, Span], ahead: int) -> None:
    size, index, wire = case
    middle = min(wire.stop, wire.start + ahead)
    halves = [*layout(size, index, Span(wire.start, middle)), *layout(size, index, Span(middle, wire.stop))]
    assert _flat(halves) == _flat(list(layout(size, index, wire)))


def test_a_header_says_the_length_twice_and_that_nothing_is_compressed() -> None:
    assert piece_header(PIECE) == bytes([0, 0, 0, 2, 0, 0, 0, 2])
    assert piece_header(5) == bytes([0, 5, 0, 0, 0, 5, 0, 0])


def test_there_is_no_xorb_behind_the_file() -> None:
    assert xorb_size(XORB, 0) == XORB + PIECES * HEADER
    assert xorb_size(XORB, 1) == 0
    assert xorb_size(XORB + 1, 1) == 1 + HEADER


def test_both_generations_are_told_the_same() -> None:
    size = XORB + PIECE + 3
    plan = reconstruction(size, Span(PIECE + 7, size))
    new, old = (body(ETAG, size, plan, lambda index: f"http://m/{index}") for body in (v2_body, v1_body))
    assert (
        new["terms"]
        == old["terms"]
        == [
            {"hash": xorb_id(ETAG, 0), "unpacked_length": XORB - PIECE, "range": {"start": 1, "end": PIECES}},
            {"hash": xorb_id(ETAG, 1), "unpacked_length": PIECE + 3, "range": {"start": 0, "end": 2}},
        ]
    )
    assert new["offset_into_first_range"] == old["offset_into_first_range"] == 7
    place = {"start": 0, "end": PIECE + HEADER + 3 + HEADER - 1}
    assert new["xorbs"][xorb_id(ETAG, 1)] == [
        {"url": "http://m/1", "ranges": [{"chunks": {"start": 0, "end": 2}, "bytes": place}]}
    ]
    assert old["fetch_info"][xorb_id(ETAG, 1)] == [
        {"range": {"start": 0, "end": 2}, "url": "http://m/1", "url_range": place}
    ]


@pytest.mark.parametrize(("size", "above", "told"), [(11, 10, True), (10, 10, False), (11, None, False), (1, 0, True)])
def test_a_file_is_advertised_above_a_size(size: int, above: int | None, told: bool) -> None:
    facts = FileFacts(ETAG, size, linked=True, key=BlobKey.sha256(ETAG), xet="cd" * 32)
    assert is_advertised(facts, above) is told


def test_a_file_without_a_hash_is_never_advertised() -> None:
    assert not is_advertised(FileFacts(ETAG, 5, linked=True, key=BlobKey.sha256(ETAG)), 0)


def _file_bytes(size: int, index: int, first: int, stop: int) -> tuple[int, int]:
    return index * XORB + first * PIECE, min(size, index * XORB + stop * PIECE)


def _flat(parts: list[bytes | Span]) -> list[bytes | Span]:
    """Neighbours joined, so that only the content counts."""
    joined: list[bytes | Span] = []
    for part in parts:
        before = joined[-1] if joined else None
        if isinstance(part, bytes) and isinstance(before, bytes):
            joined[-1] = before + part
        elif isinstance(part, Span) and isinstance(before, Span):
            joined[-1] = Span(before.start, part.stop)
        else:
            joined.append(part)
    return joined
