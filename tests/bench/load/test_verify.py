"""What is compared: every byte, or every stamp; a wrong one is found, and named."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hub.content import BLOCK, MIB, TILE, SyntheticBlob
from bench.load.verify import Checker, Scrutiny, WrongByte, content_of
from bench.record import Check

SIZE = 2 * TILE + 12_345
BLOB = SyntheticBlob("seed", SIZE)
CONTENT = content_of("seed", SIZE)
CHECKER = Checker()

spans = st.tuples(st.integers(0, SIZE), st.integers(0, 3 * BLOCK)).map(lambda two: (two[0], min(SIZE, sum(two))))


def received(start: int, stop: int) -> bytearray:
    return bytearray(BLOB.read(start, stop - start))


@given(spans)
def test_the_right_bytes_pass_wherever_they_stand(span: tuple[int, int]) -> None:
    assert CHECKER.differs(CONTENT, span[0], memoryview(received(*span))) is None
    assert CHECKER.stamps_differ(CONTENT, span[0], memoryview(received(*span))) is None


@given(spans.filter(lambda span: span[0] < span[1]), st.data())
def test_a_wrong_byte_is_found_and_named(span: tuple[int, int], data: st.DataObject) -> None:
    at = data.draw(st.integers(span[0], span[1] - 1))
    bent = received(*span)
    bent[at - span[0]] ^= 0x40
    assert CHECKER.differs(CONTENT, span[0], memoryview(bent)) == at


def test_a_span_over_the_seam_of_the_tile_is_compared_whole() -> None:
    start, stop = TILE - MIB, 2 * TILE + 5000
    bent = received(start, stop)
    assert CHECKER.differs(CONTENT, start, memoryview(bent)) is None
    bent[-1] ^= 1
    assert CHECKER.differs(CONTENT, start, memoryview(bent)) == stop - 1


def test_bytes_past_the_end_are_wrong() -> None:
    assert CHECKER.differs(CONTENT, SIZE - 2, memoryview(b"abc")) == SIZE


def test_stamps_tell_a_block_of_another_place() -> None:
    swapped = received(BLOCK, 2 * BLOCK) + received(0, BLOCK)
    assert CHECKER.stamps_differ(CONTENT, 0, memoryview(swapped)) == 0


def test_stamps_tell_a_block_of_another_file() -> None:
    other = bytearray(SyntheticBlob("another", SIZE).read(0, 4 * BLOCK))
    assert CHECKER.stamps_differ(CONTENT, 0, memoryview(other)) == 0


def test_two_files_checked_in_turn_do_not_disturb_each_other() -> None:
    other = content_of("another", SIZE)
    theirs = memoryview(bytearray(SyntheticBlob("another", SIZE).read(0, BLOCK)))
    for _ in range(2):
        assert CHECKER.differs(CONTENT, 0, memoryview(received(0, BLOCK))) is None
        assert CHECKER.differs(other, 0, theirs) is None
        assert CHECKER.differs(CONTENT, 0, theirs) == 0


def scrutinised(mode: Check, content: bytes, digest: str | None = None) -> Scrutiny:
    scrutiny = Scrutiny(CHECKER, CONTENT, 0, mode, digest)
    for at in range(0, len(content), 100_000):
        scrutiny.take(memoryview(content)[at : at + 100_000])
    return scrutiny


def test_a_whole_file_of_the_right_sha256_passes() -> None:
    scrutiny = scrutinised(Check.FULL, BLOB.read(0, SIZE), BLOB.sha256)
    scrutiny.finish()
    assert scrutiny.checked == SIZE


def test_a_whole_file_of_another_sha256_does_not() -> None:
    with pytest.raises(WrongByte, match="sha256"):
        scrutinised(Check.FULL, BLOB.read(0, SIZE), hashlib.sha256(b"other").hexdigest()).finish()


def test_what_nobody_looks_at_does_not_count_as_checked() -> None:
    assert scrutinised(Check.NONE, bytes(SIZE)).checked == 0
