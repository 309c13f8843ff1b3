"""What a request gets from what is kept: RFC 9111 §4, §5.2, RFC 5861 row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.rfc9111.fields import Fields
from proxy.rfc9111.reuse import (
    Decision,
    Forward,
    NotCached,
    Revalidate,
    Serve,
    ServeAndRevalidate,
    decide,
    may_be_shared,
    may_stand_in,
)
from proxy.rfc9111.stored import StoredResponse
from tests.rfc9111.made import NOW, kept


def says(text: str) -> Fields:
    return (("cache-control", text),)


ROWS: list[tuple[str, Fields, Fields, float, type[Decision]]] = [
    ("9111 §4.2 fresh", (), says("max-age=60"), 59, Serve),
    ("9111 §4.2 exactly as old as it may be is stale", (), says("max-age=60"), 60, Revalidate),
    ("9111 §5.2.2.4 no-cache", (), says("no-cache, max-age=60"), 1, Revalidate),
    ("9111 §5.2.2.4 no-cache for a field", (), says('no-cache="x-a", max-age=60'), 1, Serve),
    ("9111 §5.2.1.4 the request's no-cache", says("no-cache"), says("max-age=60"), 1, Revalidate),
    ("9111 §5.4 Pragma where there is no Cache-Control", (("pragma", "no-cache"),), says("max-age=60"), 1, Revalidate),
    ("9111 §5.4 Pragma beside Cache-Control", (("pragma", "no-cache"), *says("x")), says("max-age=60"), 1, Serve),
    ("9111 §5.2.1.1 older than the request takes", says("max-age=5"), says("max-age=60"), 6, Revalidate),
    ("9111 §5.2.1.1 as old as the request takes", says("max-age=5"), says("max-age=60"), 5, Serve),
    ("9111 §5.2.1.3 not fresh for long enough", says("min-fresh=10"), says("max-age=60"), 51, Revalidate),
    ("9111 §5.2.1.3 fresh for long enough", says("min-fresh=10"), says("max-age=60"), 50, Serve),
    ("9111 §5.2.1.2 any staleness taken", says("max-stale"), says("max-age=60"), 6000, Serve),
    ("9111 §5.2.1.2 so much staleness taken", says("max-stale=10"), says("max-age=60"), 70, Serve),
    ("9111 §5.2.1.2 too much staleness", says("max-stale=10"), says("max-age=60"), 71, Revalidate),
    (
        "9111 §5.2.2.2 must-revalidate is stronger",
        says("max-stale"),
        says("max-age=60, must-revalidate"),
        61,
        Revalidate,
    ),
    ("9111 §5.2.2.8 proxy-revalidate too", says("max-stale"), says("max-age=60, proxy-revalidate"), 61, Revalidate),
    ("9111 §5.2.2.10 s-maxage too", says("max-stale"), says("s-maxage=60"), 61, Revalidate),
    ("5861 §3 within the window", (), says("max-age=60, stale-while-revalidate=10"), 70, ServeAndRevalidate),
    ("5861 §3 beyond it", (), says("max-age=60, stale-while-revalidate=10"), 71, Revalidate),
    (
        "5861 §3 not against must-revalidate",
        (),
        says("max-age=60, must-revalidate, stale-while-revalidate=10"),
        61,
        Revalidate,
    ),
    ("9111 §5.2.1.7 only-if-cached and fresh", says("only-if-cached"), says("max-age=60"), 1, Serve),
    ("9111 §5.2.1.7 only-if-cached and stale", says("only-if-cached"), says("max-age=60"), 61, NotCached),
]


@pytest.mark.parametrize("rule, request_, response, later, decision", ROWS, ids=[row[0] for row in ROWS])
def test_decide(rule: str, request_: Fields, response: Fields, later: float, decision: type[Decision]) -> None:
    assert isinstance(decide(request_, kept(response), NOW + later), decision)


def test_nothing_kept() -> None:
    assert isinstance(decide((), None, NOW), Forward)
    assert isinstance(decide(says("only-if-cached"), None, NOW), NotCached)


def test_9111_4_4_what_was_made_invalid_has_to_be_confirmed() -> None:
    stored = replace(kept(says("max-age=60")), invalid=True)
    assert isinstance(decide(says("max-stale"), stored, NOW), Revalidate)


HTTP_DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
ERRORS: list[tuple[str, Fields, StoredResponse, bool]] = [
    ("an error of which nothing is said", (), kept(status=404), True),
    ("one that could be confirmed", (), kept((("etag", '"a"'),), status=404), True),
    ("an answer of which nothing is said is none", (), kept(), False),
    ("§4 a request that wants to be answered itself", says("no-cache"), kept(status=404), False),
    ("§5.2.2.4 no-cache", (), kept(says("no-cache"), status=404), False),
    ("§5.2.2.1 an age that is none", (), kept(says("max-age=0"), status=404), False),
    ("§5.3 a time that is over", (), kept((("expires", HTTP_DATE),), status=404), False),
    ("§5.2.2.2 must-revalidate", (), kept(says("must-revalidate"), status=404), False),
    ("§4.4 made invalid meanwhile", (), replace(kept(status=404), invalid=True), False),
    ("purged softly meanwhile", (), replace(kept(status=404), ended=NOW), False),
]


@pytest.mark.parametrize("rule, request_, stored, may", ERRORS, ids=[row[0] for row in ERRORS])
def test_an_error_is_shared_unless_something_is_said_of_it(
    rule: str, request_: Fields, stored: StoredResponse, may: bool
) -> None:
    assert may_be_shared(request_, stored, NOW + 1) is may


STAND_INS: list[tuple[str, Fields, Fields, float, bool]] = [
    ("5861 §4 the response allows it", (), says("max-age=60, stale-if-error=10"), 70, True),
    ("5861 §4 for no longer than that", (), says("max-age=60, stale-if-error=10"), 71, False),
    ("5861 §4 the request allows it", says("stale-if-error=10"), says("max-age=60"), 70, True),
    ("5861 §4 nobody allows it", (), says("max-age=60"), 60, False),
    ("9111 §5.2.2.2 must-revalidate forbids it", (), says("max-age=60, must-revalidate, stale-if-error=10"), 61, False),
    ("9111 §5.2.2.4 no-cache forbids it", (), says("no-cache, stale-if-error=10"), 1, False),
    ("it is fresh, and the request wanted it confirmed", says("no-cache"), says("max-age=60"), 1, True),
]


@pytest.mark.parametrize("rule, request_, response, later, may", STAND_INS, ids=[row[0] for row in STAND_INS])
def test_may_stand_in(rule: str, request_: Fields, response: Fields, later: float, may: bool) -> None:
    assert may_stand_in(request_, kept(response), NOW + later) is may
