"""Copies of answers: for how long, how many, and what ends them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.changes import Changes, Noted
from proxy.fetch.coordinator import CacheOutcome
from proxy.front.hot import Hot, HotAnswers, OurDate, Template, TheirDate
from proxy.front.observer import Exchange
from proxy.front.plainhead import Key

ACCOUNT = Exchange(
    request_id="",
    client="",
    method="GET",
    target="/a",
    route="resolve",
    code=200,
    cache=CacheOutcome.HIT,
    sent=(),
    size=0,
    range=None,
    first_byte_seconds=None,
    seconds=0.0,
    aborted=False,
    failure=None,
    user_agent=None,
    host="",
)
TEMPLATE = Template("HTTP/1.1 200 OK", (("Age", "7"), ("X-Request-Id", "1"), ("Date", "then")), b"body")


def a_copy(noted: Noted | None = None, *, until: float = 10.0, size: int = 0) -> Hot:
    template = replace(TEMPLATE, body=b"x" * size)
    noted = noted or Noted.now(Changes())
    return Hot(ACCOUNT, template, OurDate(0.0, None), noted, refresh_at=until / 2, until=until)


def kept(entries: int = 100, memory: int = 1 << 20) -> HotAnswers:
    return HotAnswers(entries=entries, memory=memory)


def key(number: int) -> Key:
    return ("GET", "mirror.test", f"/{number}", None, ())


def test_a_copy_is_given_until_its_time_is_over() -> None:
    answers = kept()
    answers.put(key(1), made := a_copy())
    assert answers.get(key(1), 4.9) is made
    assert answers.get(key(1), 10.0) is None
    assert len(answers) == answers.weight == 0


def test_in_its_second_half_one_request_goes_for_a_new_one() -> None:
    answers = kept()
    answers.put(key(1), made := a_copy())
    assert answers.get(key(1), 5.0) is None
    assert answers.get(key(1), 5.0) is made
    answers.put(key(1), newer := a_copy(until=20.0))
    assert answers.get(key(1), 9.0) is newer
    assert answers.weight == newer.weight


def test_what_is_taken_back_anywhere_ends_every_copy() -> None:
    answers, changes = kept(), Changes()
    answers.put(key(1), a_copy(Noted.now(changes)))
    changes.happened()
    assert answers.get(key(1), 0.0) is None


def test_a_copy_of_what_was_taken_back_while_it_was_made_is_not_kept() -> None:
    answers, changes = kept(), Changes()
    # 1. the request begins   2. the right is looked up   3. the right is taken back   4. the answer is offered
    before = Noted.now(changes)
    changes.happened()
    answers.put(key(1), a_copy(before))
    assert len(answers) == 0


def test_the_first_made_go_first_when_there_are_too_many() -> None:
    answers = kept(entries=3)
    for number in range(5):
        answers.put(key(number), a_copy())
    assert [answers.get(key(number), 0.0) is not None for number in range(5)] == [False, False, True, True, True]


def test_memory_is_bounded() -> None:
    most = 5 * a_copy(size=10_000).weight
    answers = kept(memory=most)
    for number in range(50):
        answers.put(key(number % 7), a_copy(size=10_000 + number))
        assert answers.weight <= most
    answers.put(key(99), a_copy(size=most))
    assert answers.get(key(99), 0.0) is None
    assert len(answers) == 4


@pytest.mark.parametrize(("age", "told"), [(None, "7"), (7, "10")])
def test_only_an_age_that_grows_is_told_anew(age: int | None, told: str) -> None:
    changed, until = OurDate(1000.5, age).at(20.0, 1003.25)
    assert until == 20.75
    before, after = TEMPLATE.rendered(changed)
    assert before == f"HTTP/1.1 200 OK\r\nAge: {told}\r\nX-Request-Id: ".encode()
    assert after == b"\r\nDate: Thu, 01 Jan 1970 00:16:43 GMT\r\n\r\nbody"


SECONDS = st.floats(0, 1e6) | st.integers(0, 10**6).map(float)


@given(SECONDS, SECONDS, SECONDS, st.lists(st.floats(0, 3), max_size=8))
def test_9111_4_2_3_a_copy_is_as_old_as_what_is_kept_at_every_moment(
    age: float, fresh_for: float, since: float, moments: list[float]
) -> None:
    """Whenever it is rendered, and until it has to be rendered anew, it says what the full lane would."""
    time = TheirDate(age, fresh_for, since, "penstock; hit; ttl=")
    for moment in moments:
        now = since + moment
        changed, until = time.at(now, 0.0)
        assert until > now
        for later in (now, now + (until - now) / 2, math.nextafter(until, 0)):
            if later < until:
                assert abs(age + (later - since) - int(changed["age"]) - 0.5) <= 0.5 + 1e-6
                left = int(changed["cache-status"].rpartition("=")[2])
                assert abs(fresh_for - (later - since) - left) <= 1 + 1e-6
        assert "date" not in changed
