"""A killed run leaves a folder, and the next one removes it; that of a run which lives is left alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bench.folder import clear, folder_of_a_run


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def killed(temporary: Path) -> Path:
    """What a run leaves that had no time to clear up."""
    left = temporary / "penstock-bench-killed"
    (left / "n0" / "disk").mkdir(parents=True)
    (left / "lock").touch()
    return left


def test_a_folder_is_gone_with_its_run() -> None:
    with folder_of_a_run() as path:
        assert path.is_dir()
    assert not path.exists()


def test_what_a_killed_run_left_is_removed(temporary: Path) -> None:
    left = killed(temporary)
    with folder_of_a_run():
        assert not left.exists()


def test_a_run_that_lives_keeps_its_folder() -> None:
    with folder_of_a_run() as path:
        assert clear() == []
        assert path.is_dir()


def test_what_is_not_ours_is_left_alone(temporary: Path) -> None:
    (temporary / "penstock-bench-without-a-lock").mkdir()
    (temporary / "something-else").mkdir()
    assert clear() == []
    assert len(list(temporary.iterdir())) == 2
