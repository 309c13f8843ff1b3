"""Every test of this room that asks for a loop runs on uvloop and on plain asyncio where it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.front.fakes import FakeCoordinator


@pytest.fixture
def coordinator(tmp_path: Path) -> FakeCoordinator:
    return FakeCoordinator(tmp_path)
