"""The rows that Penstock alone is asked, small."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.node import Page
from bench.peers import alone, origin
from bench.peers.alone import Alone, percentile
from bench.peers.asking import Unexpected
from bench.peers.servers import Installed

NOWHERE = Installed(Path("/nowhere"), Path("/nowhere"))
LAG = "penstock_event_loop_lag_seconds_bucket"


def looked(*counts: int) -> Page:
    bounds = ("0.001", "0.01", "0.1", "+Inf")
    return Page({(LAG, (("le", bound),)): float(count) for bound, count in zip(bounds, counts, strict=True)})


def test_the_percentile_is_of_the_looks_between_two_pages() -> None:
    assert percentile(looked(500, 500, 500, 500), looked(598, 600, 600, 600), 0.99) == 0.01
    assert percentile(looked(0, 0, 0, 0), looked(99, 100, 100, 100), 0.99) == 0.001
    assert percentile(looked(0, 0, 0, 0), looked(9, 9, 9, 10), 0.99) == float("inf")


def test_no_look_is_no_percentile() -> None:
    with pytest.raises(Unexpected):
        percentile(looked(1, 2, 3, 4), looked(1, 2, 3, 4), 0.99)


async def test_a_server_with_many_blobs_is_started_again_and_one_with_a_cold_disk_is_looked_at(tmp_path: Path) -> None:
    async with origin.serving(tmp_path, 24 << 20, None) as serving:
        place = Alone(serving, NOWHERE, tmp_path, None)
        again = await alone.restart(place, blobs=2000)
        assert again["restart_hit"] > 0
        assert again["restart_ready"] > 0
        assert (await alone.cold_disk(place, looks=3))["cold_disk_lag"] > 0
