"""A node in front of the Hub: cold, warm, and the Hub gone."""

from __future__ import annotations

from bench.hub.content import MIB
from tests.kit.stage import Stage


async def test_a_cold_file_is_fetched_once_and_then_served_from_disk(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 8 * MIB + 17)
    node = await stage.node()
    stage.expect_origin_exact()
    cold = await stage.read(node, file)
    warm = await stage.read(node, file)
    assert cold.complete, cold
    assert warm.complete, warm
    page = await node.metrics()
    assert page.total("response_bytes_total", source="fill") >= file.size - MIB
    assert page.total("response_bytes_total", source="disk") >= file.size


async def test_a_pinned_commit_needs_no_origin_once_it_is_here(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    node = await stage.node()
    await stage.read(node, file)
    asked_before = stage.hub.counters.total_requests()
    await stage.hub_off()
    again = await stage.read(node, file)
    assert again.complete, again
    assert stage.hub.counters.total_requests() == asked_before
