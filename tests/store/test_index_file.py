"""The file behind the index: what SQLite says is said on as it was meant."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from proxy.store.index_file import IndexFile


def opened(path: Path) -> IndexFile:
    index = IndexFile(str(path), lambda: None)
    index.open()
    return index


def add_pin(index: IndexFile, name: bytes) -> None:
    with index.transaction() as db:
        db.execute("INSERT INTO pins VALUES (?)", (name,))


def pins_at(path: Path) -> list[bytes]:
    index = opened(path)
    with index.reading() as db:
        found = [name for (name,) in db.execute("SELECT name FROM pins")]
    index.close()
    return found


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


@pytest.mark.parametrize("first", ["stand-in", "real"])
def test_an_index_that_is_closed_takes_nothing_from_another_at_its_place(tmp_path: Path, first: str) -> None:
    """The file beside it that holds the latest transactions is deleted by its path at a close, but not another's."""
    disk, away, stand_in = tmp_path / "disk", tmp_path / "away", tmp_path / "stand-in"
    disk.mkdir()
    real = opened(disk / "index.sqlite")
    add_pin(real, b"real")
    disk.rename(away)
    disk.mkdir()
    other = opened(disk / "index.sqlite")
    add_pin(other, b"stand-in")
    if first == "real":  # while the other folder is at its place
        real.close()
        assert pins_at(disk / "index.sqlite") == [b"stand-in"]
    disk.rename(stand_in)
    away.rename(disk)
    other.close()  # while the real one is
    assert pins_at(disk / "index.sqlite") == [b"real"]
    real.close()
    assert pins_at(disk / "index.sqlite") == [b"real"]
    assert pins_at(stand_in / "index.sqlite") == [b"stand-in"]
