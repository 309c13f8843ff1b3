"""Lifetime and age (RFC 9111 §4.2) against small models: what a response says, and the way that it came."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.rfc9111.fields import Fields
from proxy.rfc9111.freshness import age, lifetime, remaining
from proxy.rfc9111.stored import StoredResponse
from tests.rfc9111.made import EMPTY, NOW, kept

FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y")
"""The three of RFC 9110 §5.6.7."""
NO_DATES = (
    "",
    "0",
    "-1",
    "soon",
    "2023-11-14T22:13:20Z",
    "Tue, 32 Nov 2023 22:13:20 GMT",
    "Tue, 14 Nov 2023 22:13:20 +0000",
)
BY_HEURISTIC = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}
"""Of the list of RFC 9110 §15.1 those that we keep whole."""
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Stamp:
    """A date, so many seconds after the answer came (negative: before), as it is `written`; None: it is no date."""

    after: int | None
    written: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a response says of its life; None is nothing."""

    status: int
    public: bool
    shared: int | None
    """s-maxage"""
    private: int | None
    """max-age"""
    date: Stamp | None
    expires: Stamp | None
    changed: Stamp | None

    @property
    def fields(self) -> Fields:
        stamps = {"date": self.date, "expires": self.expires, "last-modified": self.changed}
        words = (("s-maxage", self.shared), ("max-age", self.private))
        said = [*(["public"] if self.public else []), *(f"{word}={n}" for word, n in words if n is not None)]
        control = (("cache-control", ", ".join(said)),) if said else ()
        return (*((name, stamp.written) for name, stamp in stamps.items() if stamp is not None), *control)


def written(after: int, form: str) -> str:
    return time.strftime(form, time.gmtime(NOW + after))


MOMENTS = st.integers(-(10**8), 10**8)
DATES = st.builds(lambda after, form: Stamp(after, written(after, form)), MOMENTS, st.sampled_from(FORMS))
STAMPS = st.none() | DATES | st.builds(Stamp, st.none(), st.sampled_from(NO_DATES))
SECONDS = st.none() | st.integers(0, 10**12)
STATUSES = st.sampled_from([*sorted(BY_HEURISTIC), 201, 302, 303, 307, 400, 403, 429, 500, 503])
ANYTHING_SAID = st.builds(Said, STATUSES, st.booleans(), SECONDS, SECONDS, STAMPS, STAMPS, STAMPS)


def meant(said: Said) -> float:
    """The model: for how long the origin lets it live; a clock that is not told is ours."""
    for seconds in (said.shared, said.private):
        if seconds is not None:
            return min(seconds, 2**31)
    made = 0 if said.date is None or said.date.after is None else said.date.after
    if said.expires is not None:
        return 0 if said.expires.after is None else max(0, said.expires.after - made)
    if said.changed is None or said.changed.after is None or not (said.public or said.status in BY_HEURISTIC):
        return 0
    return min(DAY, max(0, (made - said.changed.after) / 10))


@given(said=ANYTHING_SAID)
@example(Said(200, False, None, None, None, Stamp(60, written(60, FORMS[1])), None))
@example(Said(200, False, None, None, Stamp(None, "soon"), Stamp(60, written(60, FORMS[2])), None))
@example(Said(403, True, None, None, None, None, Stamp(-3600, written(-3600, FORMS[0]))))
def test_9111_4_2_1_a_response_lives_as_long_as_it_says(said: Said) -> None:
    assert lifetime(said.status, said.fields, NOW) == pytest.approx(meant(said))


@given(said=ANYTHING_SAID, aged=st.none() | st.integers(0, 10**6), later=st.integers(0, 10**6))
def test_9111_4_2_what_is_left_is_its_life_less_its_age(said: Said, aged: int | None, later: int) -> None:
    fields = said.fields if aged is None else (*said.fields, ("age", str(aged)))
    behind = 0 if said.date is None or said.date.after is None else max(0, -said.date.after)
    left = meant(said) - max(behind, aged or 0) - later
    assert remaining(kept(fields, status=said.status), NOW + later) == pytest.approx(left)


@dataclass(frozen=True, slots=True)
class Hop:
    """One cache of a chain, in seconds: its question is so long on the way, the answer so long, and then it stays."""

    there: int
    back: int
    stays: int


LEGS = st.integers(0, 1000)
CHAINS = st.lists(st.builds(Hop, LEGS, LEGS, st.integers(0, 10**5)), min_size=1, max_size=4)


def told(stored: StoredResponse, now: int) -> Fields:
    """What a cache of ours sends on."""
    return (*((name, text) for name, text in stored.fields if name != "age"), ("age", f"{age(stored, now):.0f}"))


@given(chain=CHAINS, skew=st.integers(-5000, 5000), life=st.integers(0, 10**6), dated=st.booleans())
@example(chain=[Hop(3, 4, 5), Hop(6, 7, 8)], skew=0, life=60, dated=True)
def test_9111_4_2_3_no_chain_of_caches_makes_a_response_younger(
    chain: list[Hop], skew: int, life: int, dated: bool
) -> None:
    """The model is the way itself: an origin, whose clock is wrong by `skew`, makes the response at NOW, and each cache
    asks the one before it. Its true age is the time since; what a cache counts beyond that are the ways of the
    questions (no cache knows how long those were) and an origin's clock that is slow."""
    fields: Fields = (("cache-control", f"max-age={life}"),)
    if dated:
        fields = (*fields, ("date", written(skew, FORMS[0])))
    now, asking = NOW, 0
    for hop in chain:
        stored = StoredResponse(200, fields, (), now - hop.there, now + hop.back, EMPTY)
        asking += hop.there
        now += hop.back + hop.stays
        slow = max(0, -skew) if dated else 0
        assert now - NOW <= age(stored, now) <= now - NOW + asking + slow
        assert remaining(stored, now) <= life - (now - NOW)
        fields = told(stored, now)
