"""Where heads end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.front.heads import HeadScanner

HEAD = b"GET /a HTTP/1.1\r\nHost: m\r\n\r\n"

pieces_of_streams = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b" ", b"\r\n", b"\r\n\r\n", b"GET / HTTP/1.1", b"HEAD /x", b"POST /y", b"H: v", b"x"]
    ),
    max_size=30,
).map(b"".join)


@given(pieces_of_streams)
def test_byte_at_a_time_equals_all_at_once(stream: bytes) -> None:
    whole, single = HeadScanner(), HeadScanner()
    completed, _ = whole.feed(stream)
    assert completed == sum(single.feed(stream[at : at + 1])[0] for at in range(len(stream)))
    assert whole.length == single.length
    assert whole.is_loose == single.is_loose


def test_two_heads_and_a_part_of_a_third() -> None:
    scanner = HeadScanner()
    assert scanner.feed(HEAD + HEAD + b"GET") == (2, len(HEAD))
    assert scanner.length == 3


def test_two_blanks_in_a_request_line_and_nowhere_else() -> None:
    scanner = HeadScanner()
    scanner.feed(b"GET /a HTTP/1.1\r\nX:  y  z\r\n\r\n" + HEAD)
    assert not scanner.is_loose
    scanner.feed(b"GET /a  HTTP/1.1\r\n")
    assert scanner.is_loose


def test_empty_lines_before_a_head_are_no_head() -> None:
    assert HeadScanner().feed(b"\r\n\r\n" + HEAD) == (1, len(HEAD))


def test_body_is_not_taken_for_a_head() -> None:
    scanner = HeadScanner()
    assert scanner.feed(b"POST /a HTTP/1.1\r\n\r\nbody\r\n\r\nbody") == (1, 20)
    assert scanner.length == 0
    scanner.resume()
    assert scanner.feed(HEAD) == (1, len(HEAD))
