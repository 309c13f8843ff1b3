"""What is asked of the owner of a place, and with which fields."""

from __future__ import annotations

import pytest

from proxy.fetch.web import crossing
from proxy.fetch.web.answers import WebRequest
from proxy.hub.web_asking import AnswerQuestion
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import NOTHING, StoredResponse

ORIGIN = "http://data.example.org"


def asked(
    *fields: tuple[str, str], stored: StoredResponse | None = None, is_shared: bool = True
) -> AnswerQuestion | None:
    request = WebRequest("GET", "/a", fields)
    return crossing.question(ORIGIN, request, stored, is_shared=is_shared, is_behind=False)


def kept(*fields: tuple[str, str]) -> StoredResponse:
    return StoredResponse(200, fields, (), 0.0, 0.0, NOTHING)


@pytest.mark.parametrize(
    "fields",
    [
        (("accept-language", "de"), ("user-agent", "curl"), ("range", "bytes=0-9"), ("cache-control", "no-cache")),
        (),
    ],
)
def test_what_the_origin_would_be_sent_goes_along(fields: Fields) -> None:
    assert asked(*fields) == AnswerQuestion(ORIGIN, "/a", fields)


@pytest.mark.parametrize(
    "field",
    [
        ("host", "here"),
        ("if-none-match", '"x"'),
        ("if-range", '"x"'),
        ("connection", "x-hop"),
        ("transfer-encoding", "chunked"),
        ("proxy-authorization", "Basic x"),
        ("x-request-id", "1"),
    ],
)
def test_what_is_of_one_client_or_one_connection_stays(field: tuple[str, str]) -> None:
    found = asked(("accept", "*/*"), field)
    assert found is not None
    assert found.fields == (("accept", "*/*"),)


@pytest.mark.parametrize(
    "fields",
    [
        (("authorization", "Bearer x"),),
        (("cache-control", "no-store"),),
        (("if-match", '"x"'),),
        (("if-unmodified-since", "Mon, 01 Jan 2035 00:00:00 GMT"),),
        (("x-name", "Jürgen"),),
    ],
    ids=lambda fields: fields[0][0],
)
def test_what_is_asked_of_the_origin_at_once(fields: Fields) -> None:
    assert asked(*fields) is None
    assert asked(*fields, ("if-none-match", '"x"'), is_shared=False) is None


def test_with_a_cookie_the_owner_is_asked_for_what_it_has_and_not_told_the_cookie() -> None:
    assert asked(("cookie", "who=me")) == AnswerQuestion(ORIGIN, "/a", stored_only=True)


def test_for_one_who_has_an_answer_already_the_owner_is_asked_for_what_it_has() -> None:
    assert asked(("if-none-match", '"x"'), is_shared=False) == AnswerQuestion(ORIGIN, "/a", stored_only=True)


def test_what_nobody_else_waits_for_is_asked_of_the_origin() -> None:
    assert asked(is_shared=False) is None


def test_a_body_that_is_here_under_a_tag_need_not_come_again() -> None:
    found = asked(stored=kept(("etag", 'W/"v1"')))
    assert found is not None
    assert found.etag == 'W/"v1"'


def test_the_owner_asks_as_for_a_client_of_its_own_but_nobody_else() -> None:
    request = crossing.as_request(AnswerQuestion(ORIGIN, "/a", (("accept", "x"),), is_behind=True))
    assert request == WebRequest("GET", "/a", (("accept", "x"),), from_peer=True, is_behind=True)


def test_all_variants_of_a_target_have_one_owner_and_two_origins_have_their_own() -> None:
    assert crossing.place_key(ORIGIN, "/a") == crossing.place_key(ORIGIN, "/a")
    assert len({crossing.place_key(origin, target) for origin in ("http://a", "http://b") for target in "xy"}) == 4
