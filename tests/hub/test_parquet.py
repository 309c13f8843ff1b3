"""Addresses of Parquet files lead to the mirror; everything else in the answer stays."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import OriginLied
from proxy.hub.parquet import at_home, is_asked
from proxy.hub.paths import parse
from proxy.hub.targets import OtherApi

BASE = "http://mirror.test:8080"


def asked(raw: str) -> bool:
    target = parse(raw, "GET")
    return isinstance(target, OtherApi) and is_asked(target)


@pytest.mark.parametrize(
    "raw", ["", "/default", "/default/train", "/default/train/0.parquet", "?x=1", "/a%2Fb/train"], ids=lambda raw: raw
)
@pytest.mark.parametrize("repo", ["acme/rows", "rows"])
def test_lists_of_a_dataset_are_recognised(repo: str, raw: str) -> None:
    assert asked(f"/api/datasets/{repo}/parquet{raw}")


@pytest.mark.parametrize(
    "raw",
    ["/api/models/acme/rows/parquet", "/api/datasets/acme/rows/likers", "/api/datasets", "/api/daily_papers/parquet"],
)
def test_other_calls_are_not(raw: str) -> None:
    assert not asked(raw)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "https://huggingface.co/api/datasets/acme/rows/parquet/a%2Fb/train/0.parquet",
            f"{BASE}/api/datasets/acme/rows/parquet/a%2Fb/train/0.parquet",
        ),
        (
            "http://10.0.0.1:1/datasets/acme/rows/resolve/refs%2Fconvert%2Fparquet/default/train/0000.parquet",
            f"{BASE}/datasets/acme/rows/resolve/refs%2Fconvert%2Fparquet/default/train/0000.parquet",
        ),
        ("https://cdn.example/repos/ab/cd", "https://cdn.example/repos/ab/cd"),
        ("/api/datasets/acme/rows/parquet/x/y/0.parquet", "/api/datasets/acme/rows/parquet/x/y/0.parquet"),
        ("see https://huggingface.co/api/datasets/acme/rows", "see https://huggingface.co/api/datasets/acme/rows"),
        ("https://[", "https://["),
    ],
)
def test_an_address_of_the_hub_becomes_one_of_the_mirror(said: str, meant: str) -> None:
    body = {"https://huggingface.co/api/datasets/a/b": {"train": [said, 1, None]}}
    moved = orjson.loads(at_home(orjson.dumps(body), BASE))
    assert moved == {"https://huggingface.co/api/datasets/a/b": {"train": [meant, 1, None]}}


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[" * 2000, b"[" * 900 + b"]" * 900])
def test_what_is_no_json_or_nested_without_end_is_a_lie(body: bytes) -> None:
    with pytest.raises(OriginLied):
        at_home(body, BASE)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_what_holds_no_address_stays_as_it_is(value: object) -> None:
    assert orjson.loads(at_home(orjson.dumps(value), BASE)) == value
