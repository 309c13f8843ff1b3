"""What nodes tell one another of an answer: it arrives as it was told, with its age, and never makes it younger."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.fetch.coordinator import CacheOutcome
from proxy.fetch.web.answers import Kept
from proxy.fetch.web.telling import (
    Follows,
    InSlices,
    NoAnswer,
    Shared,
    SharedError,
    SharedResponse,
    Unchanged,
    decoded,
    encoded,
    shared,
    taken_over,
)
from proxy.hub.web_peering import record_of
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.freshness import age
from proxy.rfc9111.stored import NOTHING, LargeBody, SmallBody, StoredResponse

ORIGIN = "http://data.example.org"
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
FIELDS = st.lists(st.tuples(st.from_regex(r"[a-z-]{1,9}", fullmatch=True), TEXT), max_size=4).map(tuple)
SECONDS = st.floats(0, 1e9)
BODIES = st.one_of(
    st.just(Follows()),
    st.just(Unchanged()),
    st.builds(InSlices, st.from_regex(r"[!#-~]{1,60}", fullmatch=True), st.integers(0, 1 << 44)),
)
TOLD = st.one_of(
    st.builds(SharedError, st.integers(200, 599), FIELDS, TEXT),
    st.builds(SharedResponse, st.integers(200, 599), FIELDS, FIELDS, SECONDS, st.none() | SECONDS, BODIES, TEXT),
)
SHORT = SmallBody(BlobKey.sha256("ab" * 32), 5)


def response(
    *fields: tuple[str, str], body: SmallBody | LargeBody = SHORT, asked: float = 1000.0, came: float = 1000.0
) -> StoredResponse:
    return StoredResponse(200, fields, (), asked, came, body)


def kept(stored: StoredResponse, *, confirmed: bool = True) -> Kept:
    # nobody opens the body
    return Kept(stored, None, 0.0, CacheOutcome.HIT, "hit", confirmed)  # type: ignore[arg-type]


def long(*fields: tuple[str, str], strong: bool = True) -> StoredResponse:
    return response(*fields, body=LargeBody(record_of(ORIGIN, "/a", "v1", 9_000_000), strong))


@given(TOLD)
def test_what_is_told_arrives_as_it_was_told(told: Shared) -> None:
    assert decoded(encoded(told)) == told


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 100},
        {"status": "many"},
        {"fields": [["a"]]},
        {"fields": [["a", "b\r\nc: d"]]},
        {"told": "hit\r\nSet-Cookie: x"},
        {"body": ["slices", "", 9]},
        {"body": ["slices", "v1", -1]},
        {"body": ["elsewhere"]},
        {"asked": "then"},
    ],
)
def test_what_no_node_tells_is_no_answer(wrong: dict[str, object]) -> None:
    told = SharedResponse(200, (), (), 1.0, None, Follows(), "hit")
    with pytest.raises(NoAnswer):
        decoded(orjson.dumps(orjson.loads(encoded(told)) | wrong))


@given(
    origin_age=st.integers(0, 10_000),
    kept_for=st.floats(0, 10_000),
    way=st.floats(0, 10),
    clocks_apart=st.floats(-1e6, 1e6),
)
def test_9111_4_2_3_an_answer_taken_over_is_as_old_as_it_is_there_and_the_way_here(
    origin_age: int, kept_for: float, way: float, clocks_apart: float
) -> None:
    there = 2e6 + kept_for
    stored = response(("age", str(origin_age)), asked=2e6, came=2e6)
    told = shared(kept(stored), there, "", is_part=False)
    assert told is not None
    asked_at = there + clocks_apart
    taken = taken_over(told, ORIGIN, "/a", None, asked_at, asked_at + way)
    assert taken is not None
    here = asked_at + way
    assert age(taken, here) == pytest.approx(age(stored, there) + way, abs=1e-3)
    assert taken.requested_at == pytest.approx(2e6 + clocks_apart, abs=1e-3), "purges are compared with this"


def test_what_the_origin_is_asked_for_because_of_the_question_is_newer_than_a_purge_before_it() -> None:
    stored = response(asked=1001.0, came=1060.0)
    told = shared(kept(stored), 1000.0, "", is_part=False)
    assert told is not None
    taken = taken_over(told, ORIGIN, "/a", None, 5000.0, 5060.0)
    assert taken is not None
    assert taken.requested_at == 5000.0
    assert age(taken, 5060.0) == 60.0, "the origin may have made it as soon as it was asked"


def test_a_soft_purge_goes_along() -> None:
    stored = StoredResponse(200, (), (), 1000.0, 1000.0, SHORT, ended=1500.0)
    told = shared(kept(stored), 1600.0, "", is_part=False)
    assert told is not None
    taken = taken_over(told, ORIGIN, "/a", None, 5600.0, 5601.0)
    assert taken is not None
    assert taken.ended == 5500.0


@pytest.mark.parametrize(
    ("stored", "etag", "is_part", "how"),
    [
        (response(("etag", '"v1"')), "", False, Follows()),
        (response(("etag", '"v1"')), '"v1"', False, Unchanged()),
        (response(("etag", '"v1"')), '"v2"', False, Follows()),
        (response(("etag", 'W/"v1"')), '"v1"', False, Follows()),
        (response(), "", False, Follows()),
        (long(("accept-ranges", "bytes")), "", False, InSlices("v1", 9_000_000)),
        (long(), "", False, Follows()),
        (long(), "", True, InSlices("v1", 9_000_000)),
        (long(("accept-ranges", "bytes"), strong=False), "", True, Follows()),
    ],
    ids=[
        "short",
        "the asker has it",
        "the asker has another",
        "weak is not strong",
        "no tag",
        "long",
        "long, no ranges",
        "a part of that",
        "long, weak",
    ],
)
def test_how_the_body_is_had(stored: StoredResponse, etag: str, is_part: bool, how: object) -> None:
    told = shared(kept(stored), 1000.0, etag, is_part=is_part)
    assert told is not None
    assert told.body == how


@pytest.mark.parametrize("vary", ["Cookie", "accept, authorization"])
def test_what_a_credential_has_selected_is_told_to_nobody(vary: str) -> None:
    assert shared(kept(response(("vary", vary))), 1000.0, "", is_part=False) is None


@pytest.mark.parametrize(("confirmed", "names"), [(True, ["x-a", "cache-control"]), (False, ["cache-control"])])
def test_9111_5_2_2_4_a_field_that_has_to_be_confirmed_goes_along_just_after_that_alone(
    confirmed: bool, names: list[str]
) -> None:
    stored = response(("x-a", "1"), ("cache-control", 'max-age=9, no-cache="x-a"'))
    told = shared(kept(stored, confirmed=confirmed), 1000.0, "", is_part=False)
    assert told is not None
    assert [name for name, _ in told.fields] == names


def test_what_is_taken_over_has_the_body_that_was_told_of() -> None:
    def body(how: Follows | Unchanged | InSlices, have: StoredResponse | None) -> object:
        fields: Fields = ()
        told = SharedResponse(200, fields, (), 0.0, None, how, "hit")
        taken = taken_over(told, ORIGIN, "/a", have, 1.0, 1.0)
        return None if taken is None else taken.body

    assert body(Follows(), None) == NOTHING
    assert body(Unchanged(), response()) == SHORT
    assert body(Unchanged(), None) is None
    assert body(InSlices("v1", 9_000_000), None) == long().body
