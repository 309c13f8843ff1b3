"""Names that can be read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blob import BlobKey
from proxy.store.layout import Entry, Layout, entry_byte, entry_of_place, entry_of_trash, name_byte, worker_of

hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
entries = st.one_of(
    st.builds(lambda h: Entry(BlobKey("sha256", h), small=False), hashes),
    st.builds(lambda h: Entry(BlobKey("etag", h), small=False), hashes),
    st.builds(lambda h: Entry(BlobKey("sha256", h), small=True), hashes),
)


@given(entries)
def test_entries_are_read_back_from_every_spelling(entry: Entry) -> None:
    layout = Layout("/disk")
    assert Entry.unpack(entry.pack()) == entry
    assert Entry.parse(entry.text) == entry
    folder, _, name = layout.place(entry).removeprefix("/disk/").split("/")
    assert entry_of_place(folder, name) == entry
    trash = layout.trash(3, entry, "beef").rpartition("/")[2]
    assert (worker_of(trash), entry_of_trash(trash)) == (3, entry)


@pytest.mark.parametrize("name", ["", "lost+found", "sha256-", "sha256-zz", "md5-" + "0" * 64])
def test_names_that_are_not_ours_are_passed_over(name: str) -> None:
    assert entry_of_place("blobs", name) is None
    assert entry_of_trash(name) is None


def test_small_blobs_are_never_kept_under_an_etag() -> None:
    with pytest.raises(ValueError):
        Entry(BlobKey("etag", "0" * 64), small=True)


@given(entries, st.text())
def test_locks_of_entries_and_of_names_never_meet(entry: Entry, name: str) -> None:
    assert 0 <= name_byte(name) < 1 << 61 <= entry_byte(entry) < 1 << 62
