"""What the origin says about its limits is heard, and lies about it are bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.clock import ManualClock
from proxy.core.rights import Plane
from proxy.origin.budget import ACCOUNTS, LONGEST, UNSAID, Allowance, Budget, allowance, reserve, retry_after
from proxy.origin.head import Head

NOW = 1_700_000_000.0


def head(status: int = 200, **fields: str) -> Head:
    return Head.of(status, [(name.replace("_", "-"), value) for name, value in fields.items()])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"api";r=12;t=180', Allowance(12, 180.0)),
        ('"api"; r=0; t=5', Allowance(0, 5.0)),
        ('"api";r=12;t=180, "resolvers";r=3;t=60', Allowance(3, 60.0)),
        ('"api";t=180', Allowance(None, None)),
        ('"api";r=x;t=y', Allowance(None, None)),
        ("", Allowance(None, None)),
    ],
)
def test_what_is_left_is_read(text: str, said: Allowance) -> None:
    assert allowance(head(ratelimit=text)) == said


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0"}, 1),
        ({"retry_after": "99999999999999"}, 600),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10),
        ({"retry_after": "Tue, 14 Nov 2000 22:13:30 GMT"}, 1),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "soon", "ratelimit": '"api";r=0;t=9'}, 9),
        ({"ratelimit": '"api";r=0;t=9'}, 9),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read(fields: dict[str, str], seconds: int | None) -> None:
    assert retry_after(head(429, **fields), NOW) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_makes_us_wait_for_ever(first: str, second: str) -> None:
    wait = retry_after(head(429, retry_after=first, ratelimit=second), NOW)
    assert wait is None or 1 <= wait <= LONGEST


def test_a_429_closes_the_account_until_it_ends() -> None:
    clock = ManualClock()
    budget = Budget(clock)
    budget.learn(b"ann", Plane.API, head(429, retry_after="7"))
    assert budget.refusal(b"ann", Plane.API) == 7
    clock.advance(6.5)
    assert budget.refusal(b"ann", Plane.API) == 1
    clock.advance(0.5)
    assert budget.refusal(b"ann", Plane.API) is None


def test_an_account_at_zero_is_closed_before_the_429_comes() -> None:
    budget = Budget(ManualClock())
    assert budget.learn(b"ann", Plane.API, head(ratelimit='"api";r=0;t=9')) == 0
    assert budget.refusal(b"ann", Plane.API) == 9


def test_accounts_and_planes_are_counted_apart() -> None:
    budget = Budget(ManualClock())
    budget.learn(b"ann", Plane.API, head(429))
    assert budget.refusal(b"ann", Plane.API) == UNSAID
    assert budget.refusal(b"ann", Plane.FILES) is None
    assert budget.refusal(b"", Plane.API) is None


def test_what_is_left_closes_nothing() -> None:
    budget = Budget(ManualClock())
    assert budget.learn(b"", Plane.API, head(ratelimit='"api";r=1;t=9')) == 1
    assert budget.learn(b"", Plane.API, head()) is None
    assert budget.refusal(b"", Plane.API) is None


def window(remaining: int, reset: int = 60, quota: int = 500) -> Head:
    return head(ratelimit=f'"api";r={remaining};t={reset}', ratelimit_policy=f'"fixed window";"api";q={quota};w=300')


def test_the_last_requests_are_for_what_cannot_wait() -> None:
    clock = ManualClock()
    budget = Budget(clock)
    budget.learn(b"", Plane.API, window(51))
    assert budget.refusal(b"", Plane.API, can_wait=True) is None
    budget.learn(b"", Plane.API, window(50))
    assert budget.refusal(b"", Plane.API, can_wait=True) == 60
    assert budget.refusal(b"", Plane.API) is None
    assert budget.refusal(b"", Plane.FILES, can_wait=True) is None
    clock.advance(60)
    assert budget.refusal(b"", Plane.API, can_wait=True) is None


def test_requests_under_way_are_counted_before_they_are_answered() -> None:
    budget = Budget(ManualClock())
    budget.learn(b"", Plane.API, window(12))
    for _ in range(12):
        assert budget.refusal(b"", Plane.API) is None
        budget.spend(b"", Plane.API)
    assert budget.refusal(b"", Plane.API) == 60
    budget.learn(b"", Plane.API, window(3))
    assert budget.refusal(b"", Plane.API) is None, "the origin knows better"


def test_an_answer_that_was_under_way_does_not_end_a_429() -> None:
    budget = Budget(ManualClock())
    budget.learn(b"", Plane.API, head(429, retry_after="7"))
    budget.learn(b"", Plane.API, window(400))
    assert budget.refusal(b"", Plane.API) == 7


@pytest.mark.parametrize(("quota", "kept"), [(5, 10), (500, 50), (5000, 200)])
def test_the_reserve_is_a_share_of_the_quota_within_bounds(quota: int, kept: int) -> None:
    assert reserve(window(1, quota=quota)) == kept
    assert reserve(head()) == 10


def test_memory_is_bounded() -> None:
    budget = Budget(ManualClock())
    for number in range(ACCOUNTS + 1):
        budget.learn(str(number).encode(), Plane.API, head(429))
    assert budget.refusal(b"0", Plane.API) is None
    assert budget.refusal(b"1", Plane.API) == UNSAID


def test_what_another_node_heard_counts_here_too() -> None:
    clock = ManualClock()
    budget = Budget(clock)
    budget.hear("anonymous:api", 0, 0, 20.0)
    assert budget.refusal(b"", Plane.API) == 20
    assert budget.refusal(b"", Plane.FILES) is None
    clock.advance(20)
    assert budget.refusal(b"", Plane.API) is None


def test_of_two_accounts_of_one_window_the_scarcer_stands() -> None:
    budget = Budget(ManualClock())
    budget.learn(b"", Plane.API, head(ratelimit='"api";r=50;t=100'))
    budget.hear("anonymous:api", 3, 10, 102.0)
    assert budget.refusal(b"", Plane.API, can_wait=True) is not None
    budget.hear("anonymous:api", 40, 10, 99.0)
    assert budget.refusal(b"", Plane.API, can_wait=True) is not None


def test_nothing_that_others_heard_opens_what_is_shut() -> None:
    budget = Budget(ManualClock())
    budget.learn(b"", Plane.API, head(429, retry_after="60"))
    for seconds in (30.0, 61.0, 300.0):
        budget.hear("anonymous:api", 500, 10, seconds)
        assert budget.refusal(b"", Plane.API) == 60
    budget.hear("anonymous:api", 0, 0, 90.0)
    assert budget.refusal(b"", Plane.API) == 90


@pytest.mark.parametrize(
    ("account", "seconds"),
    [("anonymous:api", LONGEST + 1), ("anonymous:api", -1.0), ("anonymous:x", 5.0), ("somebody:api", 5.0), ("", 5.0)],
)
def test_what_cannot_be_is_not_heard(account: str, seconds: float) -> None:
    budget = Budget(ManualClock())
    budget.hear(account, 0, 0, seconds)
    assert budget.refusal(b"", Plane.API) is None


def test_only_shared_accounts_are_told() -> None:
    told: list[tuple[str, int]] = []

    class Fleet:
        def learnt(self, account: str, left: int, reserve: int, seconds: float) -> None:
            told.append((account, left))

    budget = Budget(ManualClock())
    budget.share_with(Fleet())
    for identity in (b"", b"mirror", b"i" * 32):
        budget.learn(identity, Plane.FILES, head(ratelimit='"files";r=7;t=9'))
    assert told == [("anonymous:files", 7), ("mirror:files", 7)]
