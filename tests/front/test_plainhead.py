"""The grammar of the fast lane."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from proxy.front.plainhead import IGNORED, MOST, MOST_FIELDS, PlainHead, is_settled_by_key, of_generic_origin, plain
from proxy.front.wire import MOST_HEADERS

PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=40)
TEXTS = st.text(PRINTABLE, max_size=30)
FIELDS = st.lists(st.tuples(st.sampled_from(sorted(IGNORED)), TEXTS), max_size=8)


def written(method: str, target: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


@given(st.sampled_from(["GET", "HEAD"]), TARGETS, FIELDS, TEXTS, st.randoms(use_true_random=False))
def test_every_plain_head_is_understood(
    method: str, target: str, fields: list[tuple[str, str]], agent: str, chance: Any
) -> None:
    lines = ["Host: mirror.test:8080", f"User-Agent: {agent}", *(f"{name}: {text}" for name, text in fields)]
    chance.shuffle(lines)
    cased = ["".join(chance.choice([c.upper(), c.lower()]) for c in line[:4]) + line[4:] for line in lines]
    found = plain(written(method, f"/{target}", *cased))
    assert found is not None
    key = (method, "mirror.test:8080", f"/{target}", None, ())
    assert found == PlainHead(key, "mirror.test:8080", agent.strip(" "), None, True, found.ignored)
    assert sorted(found.ignored) == sorted((name, text.strip(" ")) for name, text in fields)


def test_a_generic_origins_client_is_heard_and_told_its_own_variant() -> None:
    plain_one = plain(written("GET", "/a", "Host: m", "ACCEPT: b", "Via: 1.1 x", "Accept-Encoding:  gzip "))
    assert plain_one is not None
    found = of_generic_origin(plain_one)
    assert found is not None
    assert found.key == ("GET", "m", "/a", None, (("accept", "b"), ("accept-encoding", "gzip")))
    for field in ("Cache-Control: no-cache", "Pragma: no-cache", "Authorization: Bearer a"):
        wishing = plain(written("GET", "/a", "Host: m", field))
        assert wishing is not None
        assert of_generic_origin(wishing) is None


@pytest.mark.parametrize(
    ("names", "is_settled"),
    [
        ((), True),
        (("accept", "accept-encoding", "origin", "host"), True),
        (("cookie", "x-whatever"), True),  # a head with one of them is not plain
        (("user-agent",), False),
        (("via",), False),
        (("accept", "x-forwarded-for"), False),
        (("authorization",), False),
    ],
)
def test_only_what_the_key_settles_is_given_to_others(names: tuple[str, ...], is_settled: bool) -> None:
    assert is_settled_by_key(names) is is_settled


def test_a_range_is_taken_as_it_is_said_and_never_remembered() -> None:
    found = plain(written("GET", "/a", "Host: m", "range:  bytes=0-1, 4-5 "))
    assert found is not None
    assert (found.range, found.may_be_remembered) == ("bytes=0-1, 4-5", False)
    assert of_generic_origin(found) is None
    assert plain(written("GET", "/a", "Host: m", "Range: bytes=0-1", "Range: bytes=0-1")) is None


@given(st.binary(max_size=200))
def test_bytes_that_are_no_head_are_left_alone(raw: bytes) -> None:
    assert plain(raw) is None
    assert plain(raw + b"\r\n\r\n") is None


HEAD = written("GET", "/a/b/resolve/main/c", "Host: m", "Accept: */*", "User-Agent: u")


@given(st.integers(0, len(HEAD) - 1), st.integers(0, 255))
def test_one_byte_changed_is_another_plain_head_or_none(at: int, byte: int) -> None:
    """What is understood after the change is what aiohttp's parser understands of it."""
    changed = HEAD[:at] + bytes([byte]) + HEAD[at + 1 :]
    found = plain(changed)
    if found is not None:
        assert parsed(changed) == [(found.key[0], found.key[2], found.host, found.agent)]


@pytest.mark.parametrize("at", range(len(HEAD)))
def test_a_part_of_a_head_or_more_than_one_is_left_alone(at: int) -> None:
    assert plain(HEAD[:at]) is None
    assert plain(HEAD + HEAD[:at]) is None or not at


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Basic eDp5",
        "Authorization: Bearer",
        "Authorization: Bearer a b",
        "Authorization: Bearer  a",
        "Authorization: x",
        "authorization:",
        "If-Match: *",
        "If-Range: x",
        "If-Modified-Since: x",
        "If-Unmodified-Since: x",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Connection: keep-alive, close",
        "Upgrade: h2c",
        "Expect: 100-continue",
        "If-None-Match:",
        "Host: m",
        "Cookie: a=b",
        "X-Unheard-Of: 1",
        "Host : m",
        " folded",
        "\tfolded",
        ": nameless",
        "no colon",
        "Accept: a\tb",
        "Accept: \xe9",
        "Accept: a\rb",
        "Accept: a\nb",
        "Accept: a\x00b",
    ],
)
def test_whatever_else_a_head_may_say_is_not_plain(line: str) -> None:
    assert plain(written("GET", "/a/b/resolve/main/c", "Host: m")) is not None
    assert plain(written("GET", "/a/b/resolve/main/c", "Host: m", line)) is None
    assert plain(written("GET", "/a/b/resolve/main/c", line, "Host: m")) is None


def test_a_token_is_taken_by_its_form_and_never_remembered() -> None:
    found = plain(written("GET", "/a", "Host: m", "Authorization: Bearer hf_secret"))
    assert found is not None
    assert not found.may_be_remembered
    assert "hf_secret" not in repr(found)


def test_a_head_has_a_longest_length_and_a_largest_number_of_fields() -> None:
    assert MOST_FIELDS <= MOST_HEADERS
    assert plain(written("GET", "/", "Host: m", *["Accept: x"] * (MOST_FIELDS - 1))) is not None
    assert plain(written("GET", "/", "Host: m", *["Accept: x"] * MOST_FIELDS)) is None
    assert plain(written("GET", "/", "Host: m", f"Accept: {'x' * MOST}")) is None


def parsed(raw: bytes) -> list[tuple[str, str, str | None, str | None]]:
    """What aiohttp's parser makes of it."""

    async def parse() -> list[tuple[str, str, str | None, str | None]]:
        parser = HttpRequestParser(cast(Any, web.RequestHandler), asyncio.get_running_loop(), 2**16)
        messages, _, _ = parser.feed_data(raw)
        return [(m.method, m.path, m.headers.get("Host"), m.headers.get("User-Agent")) for m, _ in messages]

    return asyncio.run(parse())
