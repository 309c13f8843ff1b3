"""A mirror over a real store, in front of an origin that a test steers byte by byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config.schema import Disk, StoreSection
from proxy.core.clock import SystemClock
from proxy.core.sizes import GIB
from proxy.store.blobstore import BlobStore

from .rig import Rig


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[BlobStore]:
    section = StoreSection(
        disks=(Disk(path=tmp_path / "a", size=GIB), Disk(path=tmp_path / "b", size=GIB)), free_floor=0
    )
    async with BlobStore.open(section, clock=SystemClock(), node="test", worker=0) as opened:
        yield opened


@pytest.fixture
async def rig(store: BlobStore, tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig.open(store, tmp_path / "state") as opened:
        yield opened
