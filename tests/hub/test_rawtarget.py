from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import MalformedTarget
from proxy.hub.rawtarget import RawTarget
from tests.hub.strategies import segments


def read(raw: str) -> tuple[str, ...]:
    return RawTarget.read(raw).segments


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ("/", ()),
        ("/a/b", ("a", "b")),
        ("//a/b", ("a", "b")),
        ("///a", ("a",)),
        ("/a%20b", ("a b",)),
        ("/a+b", ("a+b",)),
        ("/a%2Fb/c", ("a/b", "c")),
        ("/%2561", ("%61",)),
        ("/%C3%BC", ("ü",)),
        ("/ü", ("ü",)),
        ("/[x](y)'&;=@:!$,*~", ("[x](y)'&;=@:!$,*~",)),
        ("/.a/..b/c..", (".a", "..b", "c..")),
    ],
)
def test_each_segment_is_decoded_once(raw: str, meant: tuple[str, ...]) -> None:
    assert read(raw) == meant


def test_undecodable_bytes_as_servers_hand_them_over_are_decoded_or_refused() -> None:
    assert read("/" + "ü".encode().decode("ascii", "surrogateescape")) == ("ü",)
    with pytest.raises(MalformedTarget, match="UTF-8"):
        read("/" + b"\xff".decode("ascii", "surrogateescape"))
    with pytest.raises(MalformedTarget, match="UTF-8"):
        read("/\ud800")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "no path"),
        ("*", "no path"),
        ("a/b", "no path"),
        ("http://host/a", "no path"),
        ("/a b", "space"),
        ("/a\tb", "control"),
        ("/a\x7fb", "control"),
        ("/a\r\nb", "control"),
        ("/a#b", "#"),
        ("/a?b#c", "#"),
        ("/a%", "hexadecimal"),
        ("/a%2", "hexadecimal"),
        ("/a%zz", "hexadecimal"),
        ("/a%u0041", "hexadecimal"),
        ("/a?b=%zz", "hexadecimal"),
        ("/%00", "control"),
        ("/%0d%0a", "control"),
        ("/%c2%85", "control"),
        ("/%ff", "UTF-8"),
        ("/%c0%af", "UTF-8"),
        ("/%ed%a0%80", "UTF-8"),
        ("/a\\b", "backslash"),
        ("/a%5Cb", "backslash"),
        ("/a/", "empty"),
        ("/a//b", "empty"),
        ("/a%2F", "empty"),
        ("/%2Fa", "empty"),
        ("/a%2F%2Fb", "empty"),
        ("/.", "climb"),
        ("/a/../b", "climb"),
        ("/a/%2e%2e/b", "climb"),
        ("/a/%2E./b", "climb"),
        ("/a%2F..%2Fb", "climb"),
        ("/a%2F.", "climb"),
        ("/" + "x" * 256, "255"),
        ("/" + "%C3%BC" * 128, "255"),
        ("/a%2F" + "x" * 256, "255"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_a_reason(raw: str, why: str) -> None:
    with pytest.raises(MalformedTarget, match=why):
        read(raw)


def test_the_longest_segment_is_taken() -> None:
    assert read("/" + "x" * 255) == ("x" * 255,)


def test_text_to_pass_on_is_ascii_with_one_leading_slash() -> None:
    raw = RawTarget.read("//api/ü?q=ü&r=%41")
    assert raw.text == "/api/%C3%BC?q=%C3%BC&r=%41"
    assert raw.query == "q=%C3%BC&r=%41"


@given(st.lists(segments, min_size=1))
def test_quoted_segments_come_out_as_they_were(names: list[str]) -> None:
    assert read("/" + "/".join(quote(name, safe="") for name in names)) == tuple(names)


@given(st.text(st.sampled_from(string.printable + "ü\x00\x85\udcff") | st.characters(), max_size=40))
def test_any_text_is_read_or_refused_and_reading_its_text_again_changes_nothing(text: str) -> None:
    try:
        raw = RawTarget.read("/" + text)
    except MalformedTarget:
        return
    assert RawTarget.read(raw.text) == raw
    assert all(0x20 < ord(character) < 0x7F for character in raw.text)
    for segment in raw.segments:
        assert not set(segment.split("/")) & {"", ".", ".."}
        assert "\\" not in segment
        assert "\0" not in segment
