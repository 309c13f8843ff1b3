"""What may be kept: RFC 9111 §3 row by row."""

from __future__ import annotations

import pytest

from proxy.rfc9111.fields import Fields
from proxy.rfc9111.storing import NotStorable, Storable, kept_fields, storable

FRESH = ("cache-control", "max-age=60")
BEARER = ("authorization", "Bearer x")


def says(text: str) -> tuple[str, str]:
    return ("cache-control", text)


ROWS: list[tuple[str, str, Fields, int, Fields, bool]] = [
    ("9111 §3 fresh by max-age", "GET", (), 200, (FRESH,), True),
    ("9111 §3 public is enough", "GET", (), 403, (says("public"),), True),
    ("9111 §3 Expires is enough", "GET", (), 403, (("expires", "0"),), True),
    ("9111 §3 heuristically cacheable, to be confirmed", "GET", (), 404, (), True),
    ("9111 §3 no word about it and no such status", "GET", (), 403, (), False),
    ("9111 §3 a status nobody knows, with a word", "GET", (), 499, (FRESH,), True),
    ("9111 §3 POST", "POST", (), 200, (FRESH,), False),
    ("9111 §3.3 a part is no whole", "GET", (), 206, (FRESH,), False),
    ("9111 §4.3.4 a 304 is no response of its own", "GET", (), 304, (FRESH,), False),
    ("9111 §5.2.2.5 no-store", "GET", (), 200, (says("no-store, max-age=60"),), False),
    ("9111 §5.2.1.5 no-store in the request", "GET", (says("no-store"),), 200, (FRESH,), False),
    ("9111 §5.2.2.7 private", "GET", (), 200, (says("private, max-age=60"),), False),
    ("9111 §5.2.2.7 private for some fields", "GET", (), 200, (says('private="x-a", max-age=60'),), True),
    (
        "9111 §5.2.2.3 must-understand and a status we know",
        "GET",
        (),
        200,
        (says("must-understand, no-store, max-age=60"),),
        True,
    ),
    (
        "9111 §5.2.2.3 must-understand and one we do not",
        "GET",
        (),
        499,
        (says("must-understand, no-store, max-age=60"),),
        False,
    ),
    ("9111 §3.5 Authorization", "GET", (BEARER,), 200, (FRESH,), False),
    ("9111 §3.5 Authorization and public", "GET", (BEARER,), 200, (says("public, max-age=60"),), True),
    ("9111 §3.5 Authorization and s-maxage", "GET", (BEARER,), 200, (says("s-maxage=60"),), True),
    (
        "9111 §3.5 Authorization and must-revalidate",
        "GET",
        (BEARER,),
        200,
        (says("max-age=60, must-revalidate"),),
        True,
    ),
    ("9111 §4.1 Vary: *", "GET", (), 200, (FRESH, ("vary", "accept, *")), False),
    ("9111 §7.3 a cookie with freshness is the origin's choice", "GET", (), 200, (FRESH, ("set-cookie", "a=b")), True),
    ("a cookie without a word about caching is for one", "GET", (), 200, (("set-cookie", "a=b"),), False),
    ("9213 §2.2 no-store to caches like us", "GET", (), 200, (FRESH, ("cdn-cache-control", "no-store")), False),
    (
        "9213 §2.2 allowed to caches like us",
        "GET",
        (),
        200,
        (says("no-store"), ("cdn-cache-control", "max-age=9")),
        True,
    ),
]


@pytest.mark.parametrize("rule, method, request_, status, response, may", ROWS, ids=[row[0] for row in ROWS])
def test_storable(rule: str, method: str, request_: Fields, status: int, response: Fields, may: bool) -> None:
    assert isinstance(storable(method, request_, status, response), Storable if may else NotStorable)


def test_9111_3_1_fields_of_the_connection_and_of_one_user_are_not_kept() -> None:
    fields = (
        ("connection", "X-Hop, close"),
        ("x-hop", "1"),
        ("keep-alive", "5"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("cache-control", 'private="x-mine", max-age=5'),
        ("x-mine", "1"),
        ("x-own", "1"),
    )
    assert [name for name, _ in kept_fields(fields)] == ["cache-control", "x-own"]
