"""`--rate` is a cap in bytes a second, measured by the job's own times and the node's counters."""

from __future__ import annotations

from pathlib import Path

from bench.hub.content import MIB
from proxy.service.operations.rate import BURST

from .verbs import operated

RATE = 8 * MIB
SIZE = 32 * MIB
LEAST = SIZE / RATE - BURST
"""Seconds that it has to take: what was saved up for a moment is spent first."""


async def test_warming_keeps_to_its_rate(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        operator.stage.blob("acme/capped", "model.safetensors", SIZE)
        job = await operator.json("warm", "acme/capped", "--rate", f"{RATE}")
        assert job["ended"] - job["started"] >= LEAST
        assert (await operator.node.metrics()).total("upstream_bytes_total") >= SIZE, "all of it came meanwhile"


async def test_scrubbing_keeps_to_its_rate(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        operator.stage.blob("acme/scrubbed", "model.safetensors", SIZE)
        assert (await operator.says("warm", "acme/scrubbed")).returncode == 0
        job = await operator.json("scrub", "--rate", f"{RATE}")
        assert job["ended"] - job["started"] >= LEAST
        assert job["bytes"] >= SIZE, "all of it was read meanwhile"
