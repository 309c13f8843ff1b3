from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import OriginLied
from proxy.hub.links import Link, format_links, next_target, parse_links, without_xet

NEXT = '<https://huggingface.co/api/models/a/b/tree/main?cursor=ZXlK%3D&limit=2>; rel="next"'
XET = '<https://hf.co/api/models/a/b/xet-read-token/main>; rel="xet-auth"'
CAS = '<https://cas.example/v1/reconstructions/ab>; rel="xet-reconstruction-info"'


@pytest.mark.parametrize(
    ("field", "links"),
    [
        ("", ()),
        ('<a>; rel="next"', (Link("a", ("next",)),)),
        ("<a>;rel=next", (Link("a", ("next",)),)),
        ('<a>; title="x, y"; rel="next prev"', (Link("a", ("next", "prev")),)),
        ('<a,b>; rel="NEXT", <c>', (Link("a,b", ("next",)), Link("c", ()))),
        ('<a>; rel="next", garbage', (Link("a", ("next",)),)),
        ("garbage", ()),
    ],
)
def test_links_are_read_as_rfc_8288_writes_them(field: str, links: tuple[Link, ...]) -> None:
    assert parse_links(field) == links


_links = st.builds(
    Link,
    st.text(st.characters(codec="ascii", min_codepoint=0x21, exclude_characters="<>\x7f"), min_size=1),
    st.lists(st.text("abcxyz-", min_size=1), min_size=1, max_size=3).map(tuple),
)


@given(st.lists(_links, max_size=4).map(tuple))
def test_links_survive_their_field(links: tuple[Link, ...]) -> None:
    assert parse_links(format_links(links)) == links


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_links(text)


def test_next_page_is_a_target_of_the_mirror_with_its_cursor_untouched() -> None:
    assert next_target(f"{XET}, {NEXT}") == "/api/models/a/b/tree/main?cursor=ZXlK%3D&limit=2"
    assert next_target('</api/x?p=2>; rel="next"') == "/api/x?p=2"


@pytest.mark.parametrize("field", [None, "", XET, '<a>; rel="prev"'])
def test_the_last_page_has_no_next(field: str | None) -> None:
    assert next_target(field) is None


@pytest.mark.parametrize("address", ["http://[::1", "/a/../b", "relative", "/a?b=%zz", "http://h/a b"])
def test_a_next_page_that_cannot_be_read_is_a_lie_and_not_an_end(address: str) -> None:
    with pytest.raises(OriginLied, match="cannot be read"):
        next_target(f'<{address}>; rel="next"')


def test_xet_relations_are_taken_out() -> None:
    assert without_xet(f"{XET}, {NEXT}, {CAS}") == NEXT
    assert without_xet(f"{XET}, {CAS}") is None
