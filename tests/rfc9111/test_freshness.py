"""How old, and how long fresh: RFC 9111 §4.2 row by row, and against a small model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.conditional import format_date
from proxy.rfc9111.fields import Fields
from proxy.rfc9111.freshness import age, is_explicit, lifetime, remaining
from tests.rfc9111.made import NOW, kept

DATE = ("date", format_date(NOW))
HOUR_AGO = ("last-modified", format_date(NOW - 3600))


def until(seconds: int) -> tuple[str, str]:
    return ("expires", format_date(NOW + seconds))


LIFETIMES: list[tuple[str, int, Fields, float]] = [
    ("9111 §5.2.2.1 max-age", 200, (("cache-control", "max-age=60"),), 60),
    ("9111 §5.2.2.10 s-maxage before max-age", 200, (("cache-control", "max-age=60, s-maxage=5"),), 5),
    ("9111 §5.3 max-age before Expires", 200, (("cache-control", "max-age=60"), until(9), DATE), 60),
    ("9111 §4.2.1 Expires minus Date", 200, (until(90), DATE), 90),
    ("9111 §4.2.1 Expires minus the time it came", 200, (until(90),), 90),
    ("9111 §5.3 Expires 0 is past", 200, (("expires", "0"), DATE), 0),
    ("9111 §5.3 two Expires are none", 200, (until(90), until(90), DATE), 0),
    ("9111 §5.3 Expires in the past", 200, (until(-90), DATE), 0),
    ("9110 §5.6.7 Expires in the form of RFC 850", 200, (("expires", "Sunday, 06-Nov-94 08:49:37 GMT"), DATE), 0),
    ("9111 §4.2.1 the first of two max-age", 200, (("cache-control", "max-age=7, max-age=60"),), 7),
    ("9111 §4.2.1 a max-age that is no number is stale", 200, (("cache-control", "max-age=soon"),), 0),
    ("9111 §4.2.1 a negative max-age is stale", 200, (("cache-control", "max-age=-5"),), 0),
    ("9111 §4.2.1 a fraction is stale", 200, (("cache-control", "max-age=60.5"),), 0),
    ("9111 §5.2 blanks around = make it no number", 200, (("cache-control", "max-age = 60"),), 0),
    ("9111 §5.2 the quoted form is taken", 200, (("cache-control", 'max-age="60"'),), 60),
    ("9111 §5.2 names have no case", 200, (("cache-control", "MaX-aGe=60"),), 60),
    ("9111 §5.2 directives that nobody knows are passed over", 200, (("cache-control", "foo=bar, max-age=60"),), 60),
    ("9111 §5.2 inside quotes is no directive", 200, (("cache-control", 'a="max-age=99", max-age=60'),), 60),
    ("9111 §1.2.2 more than can be counted", 200, (("cache-control", f"max-age={10**30}"),), 2**31),
    ("9111 §4.2.2 a tenth of the time since the last change", 200, (DATE, HOUR_AGO), 360),
    ("9111 §4.2.2 no heuristic for 403", 403, (DATE, HOUR_AGO), 0),
    ("9111 §4.2.2 a heuristic for any status that is public", 403, (DATE, HOUR_AGO, ("cache-control", "public")), 360),
    ("9111 §4.2.2 no change known, no heuristic", 200, (DATE,), 0),
    (
        "9213 §2.2 the targeted field before all others",
        200,
        (("cdn-cache-control", "max-age=5"), ("cache-control", "max-age=60, s-maxage=60"), until(90), DATE),
        5,
    ),
    ("9213 §2.2 ... and Expires does not count beside it", 200, (("cdn-cache-control", "foo"), until(90), DATE), 0),
    (
        "9213 §2.1 a targeted field that cannot be read is not there",
        200,
        (("cdn-cache-control", "max-age=5, &"), ("cache-control", "max-age=60")),
        60,
    ),
    (
        "9213 §2.1 names have a case there",
        200,
        (("cdn-cache-control", "Max-Age=5"), ("cache-control", "max-age=60")),
        60,
    ),
    (
        "9213 §2.1 a number of another type is not there",
        200,
        (("cdn-cache-control", 'max-age="5"'), ("cache-control", "max-age=60")),
        60,
    ),
    ("9213 §2.2 an empty one is not there", 200, (("cdn-cache-control", ""), ("cache-control", "max-age=60")), 60),
]


@pytest.mark.parametrize("rule, status, fields, seconds", LIFETIMES, ids=[row[0] for row in LIFETIMES])
def test_lifetime(rule: str, status: int, fields: Fields, seconds: float) -> None:
    assert lifetime(status, fields, NOW) == seconds


AGES: list[tuple[str, Fields, float, float]] = [
    ("9111 §4.2.3 time in store", (DATE,), 30, 30),
    ("9111 §4.2.3 Age of the caches before us", (DATE, ("age", "40")), 30, 70),
    ("9111 §4.2.3 a Date that lies back", (("date", format_date(NOW - 50)),), 30, 80),
    ("9111 §4.2.3 the larger of the two", (("date", format_date(NOW - 50)), ("age", "10")), 30, 80),
    ("9111 §4.2.3 a clock ahead of ours makes nothing younger", (("date", format_date(NOW + 99)),), 30, 30),
    ("9111 §5.1 the first of several", (DATE, ("age", "40, 9000")), 0, 40),
    ("9111 §5.1 what is no number is not there", (DATE, ("age", "old")), 0, 0),
    ("9111 §5.1 a negative one is not there", (DATE, ("age", "-40")), 0, 0),
]


@pytest.mark.parametrize("rule, fields, later, seconds", AGES, ids=[row[0] for row in AGES])
def test_age(rule: str, fields: Fields, later: float, seconds: float) -> None:
    assert age(kept(fields), NOW + later) == seconds


def test_9111_4_2_3_the_way_from_the_origin_counts() -> None:
    assert age(kept((DATE,), took=4), NOW) == 4


def test_what_is_explicit() -> None:
    assert is_explicit((("cache-control", "max-age=0"),))
    assert is_explicit((("expires", "0"),))
    assert not is_explicit((("cache-control", "public"), HOUR_AGO))


@given(
    life=st.integers(0, 10**6),
    lag=st.integers(0, 1000),
    before=st.integers(0, 10**6),
    back=st.integers(-1000, 10**5),
    later=st.integers(0, 10**6),
)
def test_9111_4_2_never_fresh_longer_than_the_origin_meant(
    life: int, lag: int, before: int, back: int, later: int
) -> None:
    """The model: the origin made it at some moment not after the Date, Age or our question say; what is left of its
    life never grows, and never exceeds what is left counted from that moment."""
    fields = (("date", format_date(NOW - back)), ("age", str(before)), ("cache-control", f"max-age={life}"))
    stored = kept(fields, took=lag)
    left = remaining(stored, NOW + later)
    assert left <= life - later - max(0, back)
    assert left <= life - later - before
    assert left - remaining(stored, NOW + later + 1) == 1
