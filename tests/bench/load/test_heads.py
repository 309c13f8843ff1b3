"""Heads and chunks: byte by byte is the same as all at once, and nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.heads import Chunks, Malformed, parse_head


def test_a_head_is_status_and_fields_in_lower_case() -> None:
    head = parse_head(b'HTTP/1.1 206 Partial Content\r\nContent-Length: 12\r\nETag: "a" ')
    assert (head.status, head.fields) == (206, {"content-length": "12", "etag": '"a"'})
    assert head.keeps_alive
    assert head.framing(to_head=False) == 12
    assert head.framing(to_head=True) == 0


def test_an_answer_that_says_close_is_the_last() -> None:
    assert not parse_head(b"HTTP/1.1 200 OK\r\nConnection: Close").keeps_alive


@pytest.mark.parametrize("head", [b"", b"HTTP/2 200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 200 OK\r\nnonsense"])
def test_what_is_no_head_is_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        parse_head(head)


@pytest.mark.parametrize("field", [b"X: 1", b"Content-Length: -1", b"Content-Length: 1 2", b"Transfer-Encoding: gzip"])
def test_a_body_of_unknown_length_is_refused(field: bytes) -> None:
    with pytest.raises(Malformed):
        parse_head(b"HTTP/1.1 200 OK\r\n" + field).framing(to_head=False)


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status: int) -> None:
    assert parse_head(b"HTTP/1.1 %d Nothing" % status).framing(to_head=False) == 0


def in_chunks(parts: list[bytes]) -> bytes:
    body = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return body + b"0\r\nTrailer: yes\r\n\r\n"


def taken(wire: bytes, cuts: list[int]) -> bytes:
    chunks, body = Chunks(), b""
    for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        body += b"".join(bytes(part) for part in chunks.feed(memoryview(wire[start:stop])))
    assert chunks.done
    return body


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_chunks_are_taken_off_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    wire = in_chunks(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    assert taken(wire, cuts) == b"".join(parts)


def test_chunks_are_taken_off_byte_by_byte() -> None:
    wire = in_chunks([b"abc", b"x" * 40])
    assert taken(wire, list(range(1, len(wire)))) == b"abc" + b"x" * 40


@pytest.mark.parametrize("wire", [b"xyz\r\n", b"3\r\nabcd\r\n", b"-1\r\n", b"0\r\n\r\nmore"])
def test_broken_chunks_are_refused(wire: bytes) -> None:
    chunks = Chunks()
    with pytest.raises(Malformed):
        list(chunks.feed(memoryview(wire)))
