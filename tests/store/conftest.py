"""Folders for the disks of a store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"disk{number}" for number in range(3)]
