"""The content function: any part is the part of the whole, and the digest is that of the bytes."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hub.content import BLOCK, TILE, BytesBlob, PathBlob, SyntheticBlob, pieces, tile

SIZE = TILE + 3 * BLOCK + 5
BLOB = SyntheticBlob("whole", SIZE)
WHOLE = BLOB.read(0, SIZE)


@given(offset=st.integers(0, SIZE + 10), length=st.integers(0, 3 * BLOCK))
def test_any_slice_is_the_slice_of_the_whole(offset: int, length: int) -> None:
    assert BLOB.read(offset, length) == WHOLE[offset : offset + length]


@given(start=st.integers(0, SIZE), size=st.integers(BLOCK - 1, TILE))
def test_pieces_join_to_the_part(start: int, size: int) -> None:
    assert b"".join(pieces(BLOB, start, SIZE, size)) == WHOLE[start:]


def test_digest_is_that_of_the_bytes() -> None:
    blob = SyntheticBlob("whole", SIZE)
    assert not blob.is_hashed
    assert blob.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert blob.is_hashed


def test_bytes_between_stamps_are_the_tile() -> None:
    assert WHOLE[16:BLOCK] == tile()[16:BLOCK]
    assert WHOLE[TILE + 16 : TILE + BLOCK] == tile()[16:BLOCK]


def test_blocks_differ_within_and_between_blobs() -> None:
    other = SyntheticBlob("other", SIZE)
    assert WHOLE[:BLOCK] != WHOLE[TILE : TILE + BLOCK]
    assert WHOLE[:BLOCK] != other.read(0, BLOCK)


def test_equal_seeds_are_equal_bytes() -> None:
    assert SyntheticBlob("whole", SIZE).read(12345, 9999) == BLOB.read(12345, 9999)


def test_the_end_of_a_petabyte_is_at_hand() -> None:
    blob = SyntheticBlob("huge", 10**15, sha256="0" * 64)
    assert len(blob.read(10**15 - 10, 100)) == 10
    assert blob.sha256 == "0" * 64


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        SyntheticBlob("x", -1)


def test_a_declared_digest_must_look_like_one() -> None:
    with pytest.raises(ValueError, match="64 hex"):
        SyntheticBlob("x", 1, sha256="abc")


def test_real_bytes_and_real_files_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "real"
    path.write_bytes(WHOLE)
    file, held = PathBlob(path), BytesBlob(WHOLE)
    assert file.size == held.size == SIZE
    assert file.sha256 == held.sha256 == BLOB.sha256
    assert file.read(SIZE - 7, 100) == held.read(SIZE - 7, 100) == WHOLE[-7:]
    assert file.read(SIZE + 1, 5) == b""
