"""Workers that start together agree on one file, whatever they find."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.catalogue.database import FILE, apply, open_database, open_reader
from proxy.core.clock import ManualClock


@pytest.mark.parametrize("attempt", range(5))
def test_workers_that_start_together_move_a_damaged_file_aside_once(tmp_path: Path, attempt: int) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 1000)
    with ThreadPoolExecutor(8) as workers:
        opened = list(workers.map(lambda _: open_database(tmp_path, ManualClock()), range(8)))
    opened[0].execute("INSERT INTO refs VALUES ('models/a', 'main', 'c', 1.0)")
    assert [one.execute("SELECT count(*) FROM refs").fetchone() for one in opened] == [(1,)] * 8
    for one in opened:
        one.close()
    assert len(list(tmp_path.glob("*.aside"))) == 1


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_database(tmp_path, ManualClock()).close()
    reader = open_reader(tmp_path)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM refs")
    reader.close()


def test_a_folder_with_odd_characters_is_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=rwc#b%41 ü"
    open_database(folder, ManualClock()).close()
    reader = open_reader(folder)
    assert reader.execute("SELECT count(*) FROM refs").fetchone() == (0,)
    reader.close()


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    connection = open_database(tmp_path, ManualClock())

    def good(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO refs VALUES ('models/a', 'main', 'c', 1.0)")

    def bad(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO refs VALUES (NULL, NULL, NULL, NULL)")

    with pytest.raises(sqlite3.IntegrityError):
        apply(connection, [good, bad])
    assert connection.execute("SELECT count(*) FROM refs").fetchone() == (0,)
    apply(connection, [good])
    assert connection.execute("SELECT count(*) FROM refs").fetchone() == (1,)
    connection.close()
