from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import MalformedTarget
from proxy.hub import queries
from proxy.hub.queries import COMMITS, INFO, REFS, TREE, normalise, render
from proxy.hub.targets import Query
from tests.hub.strategies import query


@pytest.mark.parametrize(
    "raw", ["recursive=true", "recursive=1", "recursive=1&expand=false", "expand=0&recursive=true", "&recursive=1&"]
)
def test_spellings_of_one_question_are_one_query(raw: str) -> None:
    assert normalise(raw, TREE) == (("recursive", "true"),)


def test_names_are_a_set() -> None:
    assert normalise("expand=b&expand=a&expand=b", INFO) == (("expand", "a"), ("expand", "b"))


@pytest.mark.parametrize("raw", ["", "&", "include_prs=0"])
def test_nothing_said_is_the_empty_query(raw: str) -> None:
    assert normalise(raw, REFS) == ()


@pytest.mark.parametrize(
    ("raw", "known"),
    [
        ("recursive=yes", TREE),
        ("recursive", TREE),
        ("recursive=True", TREE),
        ("recursive=1&recursive=1", TREE),
        ("recursive=1&recursive=0", TREE),
        ("cursor=a&cursor=b", TREE),
        ("x=1", TREE),
        ("Recursive=1", TREE),
        ("recursive=1", REFS),
        ("=1", INFO),
        ("expand%00=1", {}),
    ],
)
def test_what_is_not_wholly_understood_is_no_query_of_ours(raw: str, known: queries.Parameters) -> None:
    if "%00" in raw:
        with pytest.raises(MalformedTarget, match="control"):
            normalise(raw, known)
    else:
        assert normalise(raw, known) is None


def test_a_plus_is_a_space_and_an_encoded_plus_is_a_plus() -> None:
    assert normalise("cursor=a+b%2Bc%20d", TREE) == (("cursor", "a b+c d"),)
    assert render((("cursor", "a b+c d"),)) == "?cursor=a%20b%2Bc%20d"


def test_equals_signs_and_escapes_of_a_cursor_are_kept() -> None:
    assert normalise("cursor=ZXlK%3D%3D", TREE) == (("cursor", "ZXlK=="),)
    assert normalise("cursor=ZXlK==", TREE) == (("cursor", "ZXlK=="),)


@given(
    st.one_of(
        st.tuples(query(("recursive", "expand"), ("cursor", "limit")), st.just(TREE)),
        st.tuples(query(("blobs", "securityStatus"), (), ("expand",)), st.just(INFO)),
        st.tuples(query((), ("p", "limit"), ("expand[]",)), st.just(COMMITS)),
    )
)
def test_a_query_survives_its_spelling(case: tuple[Query, queries.Parameters]) -> None:
    said, known = case
    assert normalise(render(said).removeprefix("?"), known) == said


@given(query(("recursive", "expand"), ("cursor", "limit")), st.randoms(use_true_random=False))
def test_order_does_not_matter(said: Query, chance: st.DataObject) -> None:
    pieces = render(said).removeprefix("?").split("&")
    chance.shuffle(pieces)  # type: ignore[attr-defined]
    assert normalise("&".join(pieces), TREE) == said
