from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sizes import CHUNK, GIB, KIB, MIB, TIB, chunk_count, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        (4096, 4096),
        ("1k", 1000),
        ("1KiB", KIB),
        ("1.5 TB", 1_500_000_000_000),
        (" 500GiB ", 500 * GIB),
        ("2tib", 2 * TIB),
        ("1pib", 1024 * TIB),
        ("3B", 3),
    ],
)
def test_size_is_read_as_people_write_it(text: str | int, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1 zb", "1.5.5k", "ten", "1e9", "٣k"])
def test_what_is_no_size_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("30", 30), ("5m", 300), ("5 min", 300), ("1.5h", 5400), ("2d", 172_800), (7, 7)],
)
def test_duration_is_read_as_people_write_it(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 week", "soon"])
def test_what_is_no_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (KIB, "1.0 KiB"), (1.5 * GIB, "1.5 GiB"), (TIB, "1.0 TiB"), (5000 * TIB, "4.9 PiB")],
)
def test_size_is_written_as_people_read_it(count: float, text: str) -> None:
    assert format_size(count) == text


@given(st.integers(0, 2**60))
def test_a_written_size_is_near_the_count_it_stands_for(count: int) -> None:
    assert abs(parse_size(format_size(count)) - count) <= 0.05 * count


@given(st.integers(0, 5 * MIB))
def test_chunks_hold_all_bytes_and_none_is_empty(size: int) -> None:
    count = chunk_count(size)
    assert (count - 1) * CHUNK < size <= count * CHUNK or size == count == 0
