"""What becomes a row comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.catalogue.schema import listing, listing_row, repo_text, resolution, resolution_row
from proxy.core.blob import BlobKey
from proxy.hub.facts import Absent, FileFacts, Listing
from proxy.hub.names import RepoId, RepoKind

COMMIT = "a" * 40
HEX40, HEX64 = (st.text("0123456789abcdef", min_size=count, max_size=count) for count in (40, 64))
KEYS = st.none() | HEX64.map(BlobKey.sha256)
SIZES = st.integers(0, 10**18)
FACTS = st.builds(FileFacts, HEX64, SIZES, st.just(True), KEYS) | st.builds(
    FileFacts, HEX40, SIZES, st.just(False), KEYS
)
FIELDS = st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=4).map(tuple)
LISTINGS = st.builds(
    Listing, st.integers(200, 599), FIELDS, st.binary(max_size=5000), st.floats(0, 1e10), st.booleans()
)


@given(FACTS | st.just(Absent(COMMIT)))
def test_a_resolution_comes_back(facts: FileFacts | Absent) -> None:
    assert resolution(resolution_row(facts), COMMIT) == facts


@given(LISTINGS)
def test_a_listing_comes_back(kept: Listing) -> None:
    assert listing(listing_row(kept)) == kept


@given(st.binary(max_size=200))
def test_a_damaged_body_is_an_error_and_never_a_listing(body: bytes) -> None:
    with pytest.raises(ValueError):
        listing((200, b"[]", b"\xff" + body, 1, 1.0, 0))


def test_repos_that_look_alike_are_spelt_apart() -> None:
    assert repo_text(RepoId(RepoKind.MODEL, "datasets/x")) != repo_text(RepoId(RepoKind.DATASET, "x"))
