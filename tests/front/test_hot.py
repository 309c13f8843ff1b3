"""Copies of answers: for how long, how many, and what ends them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.changes import Changes
from proxy.fetch.coordinator import CacheOutcome
from proxy.front.hot import Hot, HotAnswers, Template
from proxy.front.observer import Exchange

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
TEMPLATE = Template("HTTP/1.1 200 OK", (("Age", "7"), ("X-Request-Id", "1"), ("Date", "then")), b"body", None)


def a_copy(changes: int = 0, *, until: float = 10.0, size: int = 0) -> Hot:
    template = replace(TEMPLATE, body=b"x" * size)
    return Hot(ACCOUNT, template, changes, refresh_at=until / 2, until=until, made_at=0.0)


def kept(entries: int = 100, memory: int = 1 << 20) -> tuple[HotAnswers, Changes]:
    changes = Changes()
    return HotAnswers(changes, entries=entries, memory=memory), changes


def key(number: int) -> tuple[str, str, str, None]:
    return ("GET", "mirror.test", f"/{number}", None)


def test_a_copy_is_given_until_its_time_is_over() -> None:
    answers, _ = kept()
    answers.put(key(1), made := a_copy())
    assert answers.get(key(1), 4.9) is made
    assert answers.get(key(1), 10.0) is None
    assert len(answers) == answers.weight == 0


def test_in_its_second_half_one_request_goes_for_a_new_one() -> None:
    answers, _ = kept()
    answers.put(key(1), made := a_copy())
    assert answers.get(key(1), 5.0) is None
    assert answers.get(key(1), 5.0) is made
    answers.put(key(1), newer := a_copy(until=20.0))
    assert answers.get(key(1), 9.0) is newer
    assert answers.weight == newer.weight


def test_what_is_taken_back_anywhere_ends_every_copy() -> None:
    answers, changes = kept()
    answers.put(key(1), a_copy())
    changes.happened()
    assert answers.get(key(1), 0.0) is None


def test_a_copy_of_what_was_taken_back_while_it_was_made_is_not_kept() -> None:
    answers, changes = kept()
    # 1. the request begins   2. the right is looked up   3. the right is taken back   4. the answer is offered
    before = changes.count
    changes.happened()
    answers.put(key(1), a_copy(before))
    assert len(answers) == 0


def test_the_first_made_go_first_when_there_are_too_many() -> None:
    answers, _ = kept(entries=3)
    for number in range(5):
        answers.put(key(number), a_copy())
    assert [answers.get(key(number), 0.0) is not None for number in range(5)] == [False, False, True, True, True]


def test_memory_is_bounded() -> None:
    most = 5 * a_copy(size=10_000).weight
    answers, _ = kept(memory=most)
    for number in range(50):
        answers.put(key(number % 7), a_copy(size=10_000 + number))
        assert answers.weight <= most
    answers.put(key(99), a_copy(size=most))
    assert answers.get(key(99), 0.0) is None
    assert len(answers) == 4


@pytest.mark.parametrize(("age", "told"), [(None, "7"), (7, "10")])
def test_only_an_age_that_grows_is_told_anew(age: int | None, told: str) -> None:
    before, after = replace(TEMPLATE, age=age).rendered("now", 3)
    assert before == f"HTTP/1.1 200 OK\r\nAge: {told}\r\nX-Request-Id: ".encode()
    assert after == b"\r\nDate: now\r\n\r\nbody"
