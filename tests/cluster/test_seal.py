"""Only what a node wrote for that very place is believed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.seal import SEALED, Seal

SEAL = Seal(b"s" * 32)


@given(st.text(), st.binary())
def test_what_was_closed_is_opened(name: str, content: bytes) -> None:
    assert SEAL.opened(name, SEAL.closed(name, content)) == content


@given(st.binary(max_size=40), st.integers(0, 400))
def test_a_changed_bit_is_seen(content: bytes, bit: int) -> None:
    sealed = bytearray(SEAL.closed("name", content))
    sealed[bit // 8 % len(sealed)] ^= 1 << bit % 8
    assert SEAL.opened("name", bytes(sealed)) is None


def test_nothing_of_the_content_can_be_read() -> None:
    sealed = SEAL.closed("name", b"acme/tiny" * 9)
    assert b"acme" not in sealed
    assert len(sealed) == 81 + SEALED


def test_another_place_or_secret_does_not_open_it() -> None:
    sealed = SEAL.closed("name", b"content")
    assert SEAL.opened("other", sealed) is None
    assert Seal(b"t" * 32).opened("name", sealed) is None


@given(st.binary() | st.none() | st.integers() | st.lists(st.binary()))
def test_garbage_is_nothing(garbage: object) -> None:
    assert SEAL.opened("name", garbage) is None


def test_names_are_told_apart_by_their_parts() -> None:
    assert SEAL.name("ab", "c") != SEAL.name("a", "bc") != SEAL.name("abc")
    assert SEAL.name("a", "b") == Seal(b"s" * 32).name("a", "b")
