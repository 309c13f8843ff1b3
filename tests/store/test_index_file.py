"""The file behind the index: what SQLite says is said on as it was meant."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from proxy.store.index_file import IndexFile


def test_a_disk_full_in_the_middle_of_a_transaction_is_said_to_be_full(tmp_path: Path) -> None:
    """SQLite ends such a transaction itself; to end it again would be an error, and hide the first."""
    index = IndexFile(str(tmp_path / "index.sqlite"), lambda: None)
    index.open()
    with index.reading() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OSError) as failure, index.transaction() as db:
        db.execute("INSERT INTO pins VALUES (zeroblob(100000))")
    assert failure.value.errno == errno.ENOSPC
    with index.reading() as db:
        db.execute("PRAGMA max_page_count=1000000")
    with index.transaction() as db:
        db.execute("INSERT INTO pins VALUES (zeroblob(100000))")
    index.close()
