"""Looks with a deadline."""

from __future__ import annotations

import threading

import pytest

from proxy.service.looking import looked_at


def test_one_that_hangs_keeps_the_others_from_nothing() -> None:
    never = threading.Event()
    found = looked_at([lambda: 1, never.wait, lambda: 3], within=0.2)
    never.set()
    assert found == [1, None, 3]


def test_all_look_at_the_same_time() -> None:
    together = threading.Barrier(3)
    assert looked_at([lambda: together.wait(5) >= 0] * 3) == [True] * 3


def test_what_a_look_raises_is_raised() -> None:
    def fails() -> int:
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        looked_at([lambda: 1, fails])
