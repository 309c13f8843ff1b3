"""Vary: RFC 9111 §4.1."""

from __future__ import annotations

import pytest

from proxy.rfc9111.fields import Fields
from proxy.rfc9111.stored import StoredResponse
from proxy.rfc9111.variants import select, selecting
from tests.rfc9111.made import NOW, kept


def variant(vary: str, request: Fields, at: float = NOW) -> StoredResponse:
    made = kept((("vary", vary),), at=at)
    return kept(made.fields, selecting=selecting(request, made.varies_on), at=at)


ROWS: list[tuple[str, str, Fields, Fields, bool]] = [
    ("the same value", "Accept", (("accept", "a"),), (("accept", "a"),), True),
    ("another value", "Accept", (("accept", "a"),), (("accept", "b"),), False),
    ("absent in both", "Accept", (), (), True),
    ("absent in one", "Accept", (("accept", "a"),), (), False),
    ("an empty value is not an absent one", "Accept", (("accept", ""),), (), False),
    ("names have no case", "ACCEPT", (("accept", "a"),), (("accept", "a"),), True),
    ("blanks mean nothing", "Accept", (("accept", "a,  b"),), (("accept", "a,b"),), True),
    ("lines are one list", "Accept", (("accept", "a"), ("accept", "b")), (("accept", "a, b"),), True),
    ("fields that are not named mean nothing", "Accept", (("x", "1"),), (("x", "2"),), True),
    ("all that are named", "A, B", (("a", "1"), ("b", "2")), (("a", "1"), ("b", "3")), False),
    ("*", "*", (), (), False),
    ("* among others", "accept, *", (), (), False),
]


@pytest.mark.parametrize("rule, vary, first, second, fits", ROWS, ids=[row[0] for row in ROWS])
def test_9111_4_1(rule: str, vary: str, first: Fields, second: Fields, fits: bool) -> None:
    assert (select([variant(vary, first)], second) is not None) is fits


def test_9111_4_1_the_most_recent_of_those_that_fit() -> None:
    old, new = variant("accept", (), NOW), variant("accept", (), NOW + 1)
    assert select([new, old], ()) is new
