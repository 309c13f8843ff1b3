"""Fixtures for whole-node tests; each room's own tests bring theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.stage import Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A synthetic Hub, room for nodes and clients, and the nine oracles, who judge when the test is over."""
    async with Stage.open(tmp_path) as ready:
        yield ready
