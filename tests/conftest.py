"""Fixtures for whole-node tests; each room's own tests bring theirs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.kit.stage import Stage

# How long an example takes, or to think of one, says what else the machine does, not what the code is like.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: half as many again as there are processors, for half of a whole-node test is waiting."""
    processors = len(os.sched_getaffinity(0))
    return processors + processors // 2


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A synthetic Hub, room for nodes and clients, and the nine oracles, who judge when the test is over."""
    async with Stage.open(tmp_path) as ready:
        yield ready
