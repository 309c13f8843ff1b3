"""The map against a plain model, and what other workers and other boots see of it."""

from __future__ import annotations

import mmap
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey, BlobRecord, Digest, DigestKind
from proxy.core.sizes import CHUNK
from proxy.store import chunkmap
from proxy.store.chunkmap import ChunkMap, MapDamaged, header, map_size, read_header, union, zero_runs

SIZE = 5 * CHUNK + 1000
BOOT, NEXT_BOOT = b"a" * 16, b"b" * 16
RECORD = BlobRecord(BlobKey.sha256("ab" * 32), SIZE, "etag", Digest(DigestKind.GIT_SHA1, "cd" * 20))


def fresh(record: BlobRecord = RECORD) -> ChunkMap:
    mapping = mmap.mmap(-1, map_size(record.size))
    mapping[: chunkmap.HEADER] = header(record, 7, BOOT)
    return ChunkMap(mapping)


@given(
    st.integers(0, 1 << 45),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"'), min_size=1, max_size=512),
    st.sampled_from([None, Digest(DigestKind.SHA256, "0f" * 32), Digest(DigestKind.GIT_SHA1, "0e" * 20)]),
    st.integers(0, (1 << 64) - 1),
)
def test_header_says_what_was_put_in(size: int, validator: str, digest: Digest | None, generation: int) -> None:
    record = BlobRecord(BlobKey("etag", "12" * 32), size, validator, digest)
    assert read_header(header(record, generation, BOOT)) == (record, generation)


@given(st.integers(0, 100), st.integers(1, 255))
def test_header_with_a_changed_byte_is_refused(at: int, flip: int) -> None:
    page = bytearray(header(RECORD, 7, BOOT))
    page[at] ^= flip
    with pytest.raises(MapDamaged):
        read_header(bytes(page))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, CHUNK), st.booleans()), max_size=30), st.integers(0, SIZE))
def test_readable_and_complete_follow_what_was_written(writes: list[tuple[int, int, bool]], offset: int) -> None:
    chunk_map, marks, whole = fresh(), dict.fromkeys(range(6), 0), set()
    for chunk, mark, finish in writes:
        if chunk in whole:
            continue
        mark = min(mark, chunk_map.length(chunk))
        if finish:
            chunk_map.finish(chunk, 99)
            whole.add(chunk)
        else:
            chunk_map.advance(chunk, mark)
            marks[chunk] = max(marks[chunk], mark)
    assert chunk_map.complete(0, 6) == bytes(chunk in whole for chunk in range(6))
    assert chunk_map.bytes_kept() == sum(chunk_map.length(chunk) for chunk in whole)
    end = offset
    while end < SIZE:
        chunk = end // CHUNK
        limit = chunk * CHUNK + (chunk_map.length(chunk) if chunk in whole else marks[chunk])
        if limit <= end:
            break
        end = limit
        if chunk not in whole:
            break
    assert chunk_map.readable_to(offset, SIZE) == end


def test_a_chunk_that_died_while_closing_is_missing_and_can_be_written_again() -> None:
    chunk_map = fresh()
    chunk_map.advance(1, 500)
    chunk_map._states[1] = chunkmap.CLOSING
    chunk_map._fields[1] = 0xFFFFFFFF
    assert chunk_map.mark(1) == 0
    assert chunk_map.complete(1, 2) == b"\0"
    chunk_map.begin(1)
    assert chunk_map.mark(1) == 0
    chunk_map.finish(1, 42)
    assert chunk_map.crc(1) == 42


def test_mark_never_goes_back_under_a_reader() -> None:
    chunk_map = fresh()
    chunk_map.advance(0, 900)
    chunk_map.begin(0)
    chunk_map.advance(0, 100)
    assert chunk_map.mark(0) == 900


@given(st.lists(st.sampled_from([0, 1, 2, 3, 5]), min_size=6, max_size=6))
def test_another_boot_keeps_only_what_was_durable_and_doubts_it(states: list[int]) -> None:
    chunk_map = fresh()
    for chunk, state in enumerate(states):
        chunk_map._states[chunk] = state
        chunk_map._fields[chunk] = 77
    chunk_map.enter_boot(NEXT_BOOT)
    kept = [chunk for chunk, state in enumerate(states) if state in (2, 3)]
    assert chunk_map.doubtful(0, 6) == kept
    assert chunk_map.boot == NEXT_BOOT
    for chunk, state in enumerate(states):
        assert bool(chunk_map.complete(chunk, chunk + 1)[0]) == (state in (2, 3))
        start = chunk * CHUNK
        assert chunk_map.readable_to(start, start + 1) == start, "nothing is readable before it is checked"
        if state in (2, 3):
            chunk_map.trust(chunk)
            assert chunk_map.state(chunk) == state


def test_entering_a_boot_twice_is_as_once() -> None:
    chunk_map = fresh()
    for chunk in range(6):
        chunk_map.finish(chunk, zlib.crc32(b"x"))
    chunk_map.raise_to(range(3), chunkmap.DURABLE)
    chunk_map.enter_boot(NEXT_BOOT)
    once = chunk_map.complete(0, 6), chunk_map.doubtful(0, 6)
    chunk_map.enter_boot(NEXT_BOOT)
    assert (chunk_map.complete(0, 6), chunk_map.doubtful(0, 6)) == once


def test_losing_a_chunk_breaks_the_seal() -> None:
    chunk_map = fresh()
    chunk_map.finish(2, 1)
    chunk_map.seal()
    chunk_map.lose(2)
    assert not chunk_map.sealed
    assert chunk_map.complete(2, 3) == b"\0"
    assert chunk_map.mark(2) == 0


@given(st.lists(st.binary(min_size=8, max_size=8).map(lambda raw: bytes(b & 1 for b in raw)), min_size=1, max_size=4))
def test_union_is_chunk_by_chunk(flags: list[bytes]) -> None:
    assert union(flags) == bytes(max(column) for column in zip(*flags, strict=True))


@given(st.binary(max_size=40).map(lambda raw: bytes(b & 1 for b in raw)))
def test_zero_runs_are_the_gaps(flags: bytes) -> None:
    assert [i + 3 for i, flag in enumerate(flags) if not flag] == [i for run in zero_runs(flags, 3) for i in run]
