"""Questions, 304 and what writes make void: RFC 9111 §4.3, §4.4, §3.2 row by row."""

from __future__ import annotations

import pytest

from proxy.rfc9111.fields import Fields
from proxy.rfc9111.validation import is_confirmed, is_same, made_void, questions, refreshed
from tests.rfc9111.made import NOW, kept

CHANGED = "Mon, 06 Nov 2023 08:49:37 GMT"


def test_9111_4_3_1_both_validators_are_asked_about() -> None:
    stored = kept((("etag", '"a"'), ("last-modified", CHANGED)))
    assert questions(stored) == (("If-None-Match", '"a"'), ("If-Modified-Since", CHANGED))


def test_9111_4_3_1_without_a_validator_there_is_no_question() -> None:
    assert questions(kept()) == ()


@pytest.mark.parametrize(
    "ours, theirs, holds",
    [('"a"', '"a"', True), ('"a"', 'W/"a"', True), ('"a"', '"b"', True), ('"a"', None, True), (None, '"a"', False)],
)
def test_9111_4_3_4_a_304_is_about_the_one_tag_that_was_asked_about(
    ours: str | None, theirs: str | None, holds: bool
) -> None:
    stored = kept(() if ours is None else (("etag", ours),))
    assert is_confirmed(stored, () if theirs is None else (("etag", theirs),)) is holds


def test_9111_4_3_4_another_tag_in_a_304_is_not_taken_over() -> None:
    assert refreshed(kept((("etag", '"a"'),)), (("etag", '"b"'),), NOW, NOW).fields == (("etag", '"a"'),)


SAME: list[tuple[str, Fields, int | None, bool]] = [
    ("all the same", (("etag", '"a"'), ("last-modified", CHANGED)), 5, True),
    ("no length", (("etag", '"a"'), ("last-modified", CHANGED)), None, True),
    ("another length", (("etag", '"a"'), ("last-modified", CHANGED)), 6, False),
    ("another tag", (("etag", '"b"'), ("last-modified", CHANGED)), 5, False),
    ("another date", (("etag", '"a"'), ("last-modified", "Tue, 07 Nov 2023 08:49:37 GMT")), 5, False),
    ("a validator that went", (("etag", '"a"'),), 5, False),
]


@pytest.mark.parametrize("row, response, length, same", SAME, ids=[row[0] for row in SAME])
def test_9111_4_3_5_a_head_is_about_what_is_kept(row: str, response: Fields, length: int | None, same: bool) -> None:
    stored = kept((("etag", '"a"'), ("last-modified", CHANGED)))
    assert is_same(stored, 5, response, length) is same


def test_9111_3_2_a_304_replaces_fields_and_brings_new_ones() -> None:
    stored = kept((("x-a", "1"), ("x-a", "2"), ("x-b", "1"), ("etag", '"a"'), ("age", "7")))
    fresh = refreshed(stored, (("x-a", "3"), ("x-c", "4"), ("connection", "x-d"), ("x-d", "5")), NOW + 8, NOW + 9)
    assert set(fresh.fields) == {("x-a", "3"), ("x-b", "1"), ("x-c", "4"), ("etag", '"a"')}
    assert (fresh.requested_at, fresh.received_at) == (NOW + 8, NOW + 9)


def test_9111_3_2_a_304_does_not_change_what_describes_the_bytes() -> None:
    stored = kept((("content-encoding", "gzip"), ("etag", '"a"')))
    fresh = refreshed(stored, (("content-encoding", "br"), ("content-length", "0"), ("etag", 'W/"a"')), NOW, NOW)
    assert set(fresh.fields) == {("content-encoding", "gzip"), ("etag", '"a"')}


VOID: list[tuple[str, str, int, Fields, tuple[str, ...]]] = [
    ("9111 §4.4 POST", "POST", 200, (), ("/dir/a?x=1",)),
    ("9111 §4.4 a method nobody knows", "M-SEARCH", 204, (), ("/dir/a?x=1",)),
    ("9111 §4.4 a redirect is no error", "PUT", 303, (), ("/dir/a?x=1",)),
    ("9111 §4.4 an error changes nothing", "PUT", 409, (), ()),
    ("9110 §9.2.1 safe methods change nothing", "OPTIONS", 200, (), ()),
    ("9111 §4.4 Location", "POST", 201, (("location", "b"),), ("/dir/a?x=1", "/dir/b")),
    ("9111 §4.4 Content-Location", "POST", 200, (("content-location", "/c?y"),), ("/dir/a?x=1", "/c?y")),
    ("9111 §4.4 the same site in full", "POST", 201, (("location", "http://Site:1/b"),), ("/dir/a?x=1", "/b")),
    ("9111 §4.4 another site is left alone", "POST", 201, (("location", "http://other/b"),), ("/dir/a?x=1",)),
    ("what is no address is passed over", "POST", 201, (("location", "http://[bad"),), ("/dir/a?x=1",)),
]


@pytest.mark.parametrize("rule, method, status, fields, targets", VOID, ids=[row[0] for row in VOID])
def test_made_void(rule: str, method: str, status: int, fields: Fields, targets: tuple[str, ...]) -> None:
    assert made_void(method, status, "/dir/a?x=1", fields, frozenset({"site:1"})) == targets
