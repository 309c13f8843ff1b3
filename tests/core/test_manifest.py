"""Promises of `core.manifest`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.core.manifest import Manifest, NoManifest
from proxy.core.sizes import SLICE

HEX64 = st.from_regex("[0-9a-f]{64}", fullmatch=True)
KEYS = st.builds(BlobKey, st.sampled_from(["sha256", "etag"]), HEX64)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    slices = tuple(draw(st.lists(HEX64, min_size=1, max_size=5)))
    return Manifest(draw(KEYS), (len(slices) - 1) * SLICE + draw(st.integers(1, SLICE)), slices)


@given(manifests())
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert Manifest.decoded(manifest.encoded()) == manifest


@given(manifests(), st.data())
def test_what_is_cut_or_longer_is_no_manifest(manifest: Manifest, data: st.DataObject) -> None:
    content = manifest.encoded()
    with pytest.raises(NoManifest):
        Manifest.decoded(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(NoManifest):
        Manifest.decoded(content + data.draw(st.binary(min_size=1, max_size=64)))


@given(manifests(), st.integers(0, 19), st.integers(1, 255))
def test_another_format_is_no_manifest(manifest: Manifest, at: int, turned: int) -> None:
    content = bytearray(manifest.encoded())
    content[at] ^= turned
    with pytest.raises(NoManifest):
        Manifest.decoded(bytes(content))


@given(st.binary(max_size=200))
def test_other_bytes_are_no_manifest(content: bytes) -> None:
    with pytest.raises(NoManifest):
        Manifest.decoded(content)


@pytest.mark.parametrize(
    ("size", "slices"), [(0, ()), (1, ()), (1, ("ab" * 32,) * 2), (SLICE + 1, ("ab" * 32,)), (1, ("AB" * 32,))]
)
def test_digests_that_are_not_those_of_the_slices_are_refused(size: int, slices: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="slice"):
        Manifest(BlobKey.sha256("0" * 64), size, slices)


def test_the_slices_that_differ_are_told() -> None:
    manifest = Manifest(BlobKey.sha256("0" * 64), 3 * SLICE, ("a" * 64, "b" * 64, "c" * 64))
    assert manifest.wrong_in(("a" * 64, "d" * 64, "c" * 64)) == {1}
    assert manifest.wrong_in(manifest.slices) == frozenset()
