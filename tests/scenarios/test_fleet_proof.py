"""Files of which no node has the whole are proven all the same: one node reads all slices once, from where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.hub.content import MIB
from bench.hub.faults import FlipByte
from proxy.core.sizes import SLICE
from tests.kit.files import Expected
from tests.kit.fleet import Fleet
from tests.kit.node import Node
from tests.kit.reader import Ending
from tests.kit.relay import Weather
from tests.kit.stage import Stage
from tests.kit.waiting import until

SOON = {
    "cluster__prove_after": "500ms",
    "cluster__connect_timeout": "10s",
    "fetch__read_ahead": "0",
    "fetch__finish_below": "0",
}
"""No node is passed over because the machine is busy, and none reads on until it has the whole."""
WITHIN = 40.0
SIZE = SLICE + 4 * MIB
FIRST = (0, SLICE)


@pytest.fixture
async def fleet(stage: Stage) -> Fleet:
    return await Fleet.start(stage, 3, **SOON)


def file_of_two(fleet: Fleet) -> tuple[Expected, Node, Node, Node]:
    """A file of two slices, their owners, and a node that owns none."""
    first, second, neither = fleet.nodes
    return fleet.file_of({0: first, 1: second}, SIZE), first, second, neither


def rest(file: Expected) -> tuple[int, int]:
    return SLICE, file.size


async def slices_proven(node: Node) -> float:
    return (await node.metrics()).total("fleet_slices_proven_total")


async def until_proven(stage: Stage, node: Node, file: Expected, span: tuple[int, int]) -> None:
    """`node` gives what it has of the span as proven."""
    beginning = (span[0], span[0] + 1000)

    async def is_proven() -> bool:
        reading = await stage.read(node, file, span=beginning)
        assert reading.complete, reading
        return "unverified" not in reading.headers["Cache-Status"]

    await until(is_proven, f"{node} proves what it has", WITHIN)


def folders_of(node: Node, file: Expected) -> list[Path]:
    """Where the node keeps the file."""
    places = f"blobs/*/sha256-{file.sha256}"
    return [place for disk in node.plan.disk_folders for place in disk.glob(places)]


async def test_each_owner_proves_its_slice_and_a_restart_forgets_nothing(stage: Stage, fleet: Fleet) -> None:
    file, first, second, _ = file_of_two(fleet)
    stage.expect_origin_exact()
    for node, span in ((first, FIRST), (second, rest(file))):
        reading = await stage.read(node, file, span=span)
        assert reading.complete, reading
        assert "unverified" in reading.headers["Cache-Status"], "nobody can have proven it yet"
    await until_proven(stage, first, file, FIRST)
    await until_proven(stage, second, file, rest(file))
    for node in (first, second):
        await until(lambda node=node: slices_proven(node), f"{node} has counted it", WITHIN)
    assert (await first.metrics()).total("http_requests_total", route="manifest"), (
        "it owns the first slice, so it seals"
    )
    assert len(folders_of(second, file)) == 1
    assert (folders_of(second, file)[0] / "manifest").is_file()
    await stage.stop(second)
    await stage.start(second)
    again = await stage.read(second, file, span=rest(file))
    assert again.complete, again
    assert "unverified" not in again.headers["Cache-Status"], "what was proven before is proven still"


async def test_when_the_sealer_cannot_be_reached_the_next_in_rank_takes_over(stage: Stage, fleet: Fleet) -> None:
    stage.allow_origin(None)  # its peers fetch what is its own
    file, sealer, second, neither = file_of_two(fleet)
    fleet.relay(sealer).weather = Weather.RESET
    assert (await stage.read(second, file, span=rest(file))).complete
    assert (await stage.read(neither, file, span=FIRST)).complete
    await until_proven(stage, second, file, rest(file))
    await until_proven(stage, neither, file, FIRST)


async def test_a_file_that_is_wrong_at_the_origin_ends_at_every_node_and_leaves_nothing(
    stage: Stage, fleet: Fleet
) -> None:
    file, first, second, neither = file_of_two(fleet)
    stage.allow_origin(None)  # it is read once more, to tell which slice is wrong
    stage.faults.add(FlipByte(at=SLICE + 5), kinds=("cdn",))
    assert (await stage.read(first, file, span=FIRST)).complete
    wrong = await stage.read(second, file, span=rest(file))
    assert wrong.faults, wrong
    stage.forgive(wrong)
    await until(lambda: not folders_of(first, file) + folders_of(second, file), "both drop it", WITHIN)
    whole = await stage.read(neither, file)
    assert whole.ending in (Ending.BROKEN, Ending.REFUSED), whole
    if whole.ending is Ending.BROKEN:
        stage.forgive(whole)
    await until(lambda: not any(folders_of(node, file) for node in fleet.nodes), "all drop it", WITHIN)
    lies = [(await node.metrics()).total("peer_lies_total") for node in fleet.nodes]
    assert lies == [0, 0, 0], "no node is blamed for the origin"
