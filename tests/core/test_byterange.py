from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.byterange import (
    MOST_RANGES,
    NEAR,
    Ignored,
    Multi,
    Single,
    Unsatisfiable,
    content_range,
    multipart,
    parse_content_range,
    range_field,
    unsatisfied_range,
    wanted,
)
from proxy.core.spans import Span

SIZE = 100_000


@pytest.mark.parametrize(
    ("field", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=10-19", Span(10, 20)),
        ("bytes=10-", Span(10, SIZE)),
        ("bytes=-10", Span(SIZE - 10, SIZE)),
        ("bytes=0-", Span(0, SIZE)),
        ("BYTES=5-6", Span(5, 7)),
        ("bytes= 5-6 ", Span(5, 7)),
        ("bytes=,5-6,,", Span(5, 7)),
    ],
)
def test_one_range_is_a_span(field: str, span: Span) -> None:
    assert wanted(field, SIZE) == Single(span)


def test_end_beyond_the_file_is_clamped() -> None:
    assert wanted(f"bytes=5-{SIZE}", SIZE) == Single(Span(5, SIZE))


def test_suffix_longer_than_the_file_is_the_whole_of_it() -> None:
    assert wanted("bytes=-999999999", SIZE) == Single(Span(0, SIZE))


@pytest.mark.parametrize("field", [f"bytes={SIZE}-", "bytes=999999-1000000", "bytes=-0", f"bytes={SIZE}-,-0"])
def test_range_outside_the_file_is_unsatisfiable(field: str) -> None:
    assert wanted(field, SIZE) == Unsatisfiable()


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-3",
        "bytes=5",
        "bytes=+5-6",
        "bytes=5 - 6",
        "bytes=٣-٤",
        "bytes=0x1-2",
        "bytes=1-2-3",
        "bytes=1-2;3-4",
        "bytes=1-2, x",
        "lines=0-5",
        "bytes 0-5",
        "bytes=0-" + "9" * 19,
        "bytes=" + "0" * 19 + "-5",
        "bytes=0-1\n",
    ],
)
def test_anything_malformed_or_unknown_is_ignored(field: str | None) -> None:
    assert wanted(field, SIZE) == Ignored()


@pytest.mark.parametrize("field", ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=5-9", "bytes=-0", "junk"])
def test_any_range_of_an_empty_file_is_ignored(field: str) -> None:
    assert wanted(field, 0) == Ignored()


def test_ranges_far_apart_are_several_parts() -> None:
    assert wanted("bytes=0-9,5000-5009", SIZE) == Multi((Span(0, 10), Span(5000, 5010)))


def test_ranges_nearer_than_a_part_head_are_joined() -> None:
    assert wanted(f"bytes=0-9,{10 + NEAR - 1}-200", SIZE) == Single(Span(0, 201))


def test_ranges_as_far_as_a_part_head_are_not_joined() -> None:
    assert wanted(f"bytes=0-9,{10 + NEAR}-200", SIZE) == Multi((Span(0, 10), Span(10 + NEAR, 201)))


def test_ranges_that_touch_are_joined() -> None:
    assert wanted("bytes=0-9,10-19", SIZE) == Single(Span(0, 20))


def test_a_field_of_endless_blanks_is_ignored() -> None:
    assert wanted("bytes=0-9," + " " * 2000, SIZE) == Ignored()


def test_ranges_outside_the_file_are_left_out_of_several() -> None:
    assert wanted(f"bytes=0-9,{SIZE}-", SIZE) == Single(Span(0, 10))


@pytest.mark.parametrize("field", ["bytes=0-10,10-20", "bytes=5000-5010,0-9", "bytes=-10,0-9", "bytes=0-,0-"])
def test_overlapping_or_descending_ranges_get_the_whole_file(field: str) -> None:
    assert wanted(field, SIZE) == Ignored()


def test_more_ranges_than_we_answer_get_the_whole_file() -> None:
    ranges = [f"{start}-{start}" for start in range(0, 1000 * (MOST_RANGES + 1), 1000)]
    assert wanted("bytes=" + ",".join(ranges), SIZE) == Ignored()
    assert wanted("bytes=" + ",".join(ranges[:-1]), SIZE) == Multi(
        tuple(Span(start, start + 1) for start in range(0, 1000 * MOST_RANGES, 1000))
    )


def _meant(first: int | None, last: int | None, size: int) -> set[int]:
    """The positions that RFC 9110 §14.1.2 gives to one range, one by one."""
    if first is None:
        assert last is not None
        return {at for at in range(size) if at >= size - last}
    return {at for at in range(size) if at >= first and (last is None or at <= last)}


_ranges = st.one_of(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).filter(lambda pair: pair[0] <= pair[1]),
    st.tuples(st.integers(0, 60), st.none()),
    st.tuples(st.none(), st.integers(0, 60)),
)


def _spelt(first: int | None, last: int | None) -> str:
    return f"{'' if first is None else first}-{'' if last is None else last}"


@given(_ranges, st.integers(1, 50))
def test_one_range_means_the_positions_the_rfc_gives_it(pair: tuple[int | None, int | None], size: int) -> None:
    positions = _meant(*pair, size)
    match wanted(f"bytes={_spelt(*pair)}", size):
        case Single(span):
            assert set(range(span.start, span.stop)) == positions
        case Unsatisfiable():
            assert not positions
        case other:
            pytest.fail(f"{other} for a well-formed range")


@given(st.lists(_ranges, min_size=2, max_size=20), st.integers(1, 5000), st.integers(1, 100))
def test_several_ranges_give_all_bytes_asked_for_in_little_more_than_them(
    pairs: list[tuple[int | None, int | None]], size: int, stretch: int
) -> None:
    stretched = [tuple(None if end is None else end * stretch for end in pair) for pair in pairs]
    asked = [_meant(first, last, size) for first, last in stretched]
    match wanted("bytes=" + ",".join(_spelt(*pair) for pair in stretched), size):
        case Multi(spans):
            assert 2 <= len(spans) <= MOST_RANGES
            assert all(before.stop + NEAR <= after.start for before, after in pairwise(spans))
            sent = {at for span in spans for at in range(span.start, span.stop)}
        case Single(span):
            sent = set(range(span.start, span.stop))
        case Unsatisfiable():
            sent = set()
        case Ignored():
            disjoint = sum(map(len, asked)) == len(set().union(*asked))
            ascending = [min(positions) for positions in asked if positions]
            assert len(pairs) > MOST_RANGES or not disjoint or ascending != sorted(ascending)
            return
    assert set().union(*asked) <= sent
    assert len(sent) <= sum(map(len, asked)) + NEAR * len(pairs)


@given(
    st.text(st.characters(codec="latin-1"), max_size=40) | st.from_regex(r"bytes=[0-9,\- ]{0,30}"), st.integers(0, 99)
)
def test_no_field_makes_anything_but_spans_inside_the_file(field: str, size: int) -> None:
    match wanted(field, size):
        case Single(span):
            assert span
            assert span.stop <= size
        case Multi(spans):
            assert all(span and span.stop <= size for span in spans)


@given(st.integers(0, 10**17), st.integers(1, 10**17), st.integers(0, 10**17))
def test_a_span_survives_its_fields(start: int, length: int, rest: int) -> None:
    span, size = Span(start, start + length), start + length + rest
    assert wanted(range_field(span), size) == Single(span)
    assert parse_content_range(content_range(span, size)) == (span, size)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "bytes */100",
        "bytes 0-9/*",
        "bytes 9-0/100",
        "bytes 0-100/100",
        "bytes 0-9/100 ",
        "bytes  0-9/100",
        "bytes=0-9/100",
        "Bytes 0-9/100",
        "bytes -9/100",
        "bytes 0-9/" + "9" * 19,
        "bytes 0-9/100, bytes 20-29/100",
    ],
)
def test_content_range_of_any_other_form_is_not_believed(field: str) -> None:
    assert parse_content_range(field) is None


def test_unsatisfied_range_tells_the_length() -> None:
    assert unsatisfied_range(0) == "bytes */0"


def test_an_empty_span_has_no_fields() -> None:
    with pytest.raises(AssertionError):
        range_field(Span(5, 5))
    with pytest.raises(AssertionError):
        content_range(Span(5, 5), 10)


def test_multipart_is_framed_as_rfc_9110_shows_it() -> None:
    body = multipart((Span(0, 2), Span(500, 503)), 8000, "application/pdf", "SEP")
    assert body.content_type == "multipart/byteranges; boundary=SEP"
    assert body.parts[0].head == b"--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 0-1/8000\r\n\r\n"
    assert (
        body.parts[1].head == b"\r\n--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 500-502/8000\r\n\r\n"
    )
    assert body.tail == b"\r\n--SEP--\r\n"


@given(st.lists(st.integers(0, 400), min_size=4, max_size=12, unique=True), st.binary(min_size=400, max_size=400))
def test_multipart_length_is_known_before_it_is_sent_and_its_parts_come_out_again(
    cuts: list[int], content: bytes
) -> None:
    ends = sorted(cuts)[: len(cuts) // 2 * 2]
    spans = tuple(Span(start, stop) for start, stop in zip(ends[::2], ends[1::2], strict=True))
    body = multipart(spans, len(content), "application/octet-stream", "b" * 32)
    sent = b"".join(part.head + content[part.span.start : part.span.stop] for part in body.parts) + body.tail
    assert len(sent) == body.length
    found = [
        content_at
        for match in re.finditer(rb"--b{32}\r\n[^\n]*\r\nContent-Range: bytes (\d+)-(\d+)/400\r\n\r\n", sent)
        for content_at in [sent[match.end() : match.end() + int(match[2]) - int(match[1]) + 1]]
    ]
    assert found == [content[span.start : span.stop] for span in spans]


@pytest.mark.parametrize("boundary", ["", "a b", 'a"', "ü", "x" * 71])
def test_a_boundary_that_needs_quoting_is_refused(boundary: str) -> None:
    with pytest.raises(AssertionError):
        multipart((Span(0, 1), Span(500, 501)), 1000, "text/plain", boundary)
