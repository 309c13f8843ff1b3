"""A node that gives its peers wrong bytes: it is found out, named, and nobody keeps a wrong file.

The liar is a real node with a bug: what it sends by sendfile has a bit turned (see `kit.sabotage`).
"""

from __future__ import annotations

from typing import Final

from bench.hub.content import MIB
from proxy.core.sizes import SLICE
from tests.kit.files import Expected
from tests.kit.fleet import Fleet
from tests.kit.node import Node
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

LIAR: Final = {
    "sabotaged": "flip-a-byte",
    "cluster__prove_after": "500ms",
    "cluster__connect_timeout": "10s",
    "cluster__progress_timeout": "30s",
    "cluster__rate_floor": "0",
    "fetch__read_ahead": "0",
    "fetch__finish_below": "0",
}
"""The first node lies; and nobody is passed over, or helped out, because the machine is busy; and none reads on
until it has the whole."""
WITHIN: Final = 40.0
"""Seconds: it takes two, on a machine that does nothing else."""


def name_of(fleet: Fleet, node: Node) -> str:
    return fleet.urls[fleet.nodes.index(node)].removeprefix("http://")


async def lies_told(node: Node) -> dict[str, float]:
    """How often `node` has found out whom."""
    page = await node.metrics()
    return {labels["peer"]: value for labels, value in page.matching("peer_lies_total")}


async def until_named(fleet: Fleet, liar: Node, by: Node) -> None:
    """`by` has found out `liar`, and nobody else."""
    await until(lambda: lies_told(by), f"{by} finds out the liar", WITHIN)
    assert await lies_told(by) == {name_of(fleet, liar): 1}


async def reads_wrong_and_then_right(stage: Stage, node: Node, file: Expected) -> None:
    """The first answer breaks before its end, so its client throws it away; the second is right."""
    first = await stage.read(node, file)
    assert first.ending is Ending.BROKEN, first
    stage.forgive(first)
    second = await stage.read(node, file)
    assert second.complete, second


async def test_a_liar_is_named_and_what_it_gave_fetched_elsewhere(stage: Stage) -> None:
    stage.allow_origin(None)  # of the liar's own bytes nothing can be used
    fleet = await Fleet.start(stage, 3, **LIAR)
    liar, honest, _ = fleet.nodes
    file = fleet.file_of({0: liar}, 6 * MIB)
    await reads_wrong_and_then_right(stage, honest, file)
    await until_named(fleet, liar, honest)
    at_once = await stage.read(honest, fleet.file_of({0: liar}, 7 * MIB))
    assert at_once.complete, "the liar is not asked for anything any more"
    assert liar.running


async def test_of_a_wrong_file_what_is_right_is_kept_when_a_peer_has_it_proven(stage: Stage) -> None:
    stage.allow_origin(None)
    fleet = await Fleet.start(stage, 3, **LIAR)
    liar, first, second = fleet.nodes
    file = fleet.file_of({0: first, 1: liar}, SLICE + 4 * MIB)
    await reads_wrong_and_then_right(stage, first, file)
    lied_to = await stage.read(second, file)
    assert lied_to.ending is Ending.BROKEN, lied_to
    stage.forgive(lied_to)
    await until(lambda: '"kept of a wrong blob"' in second.said(), "the right slice is kept", WITHIN)
    before = await second.metrics()
    again = await stage.read(second, file)
    assert again.complete, again
    await until_named(fleet, liar, second)
    received = (await second.metrics()).total("fill_bytes_total") - before.total("fill_bytes_total")
    assert received == file.size - SLICE


async def test_a_liar_is_found_out_though_nobody_has_the_whole(stage: Stage) -> None:
    """A range may be wrong and ends cleanly, so it says that nobody has proven it. Soon after somebody has."""
    stage.allow_origin(None)  # the sealer asks the origin which slice is wrong
    fleet = await Fleet.start(stage, 3, **LIAR)
    liar, sealer, reader = fleet.nodes
    file = fleet.file_of({0: sealer, 1: liar}, SLICE + 4 * MIB)
    second_slice = (SLICE, file.size)
    assert (await stage.read(sealer, file, span=(0, SLICE))).complete
    lied_to = await stage.read(reader, file, span=second_slice)
    assert lied_to.faults, lied_to
    stage.forgive(lied_to)
    await until_named(fleet, liar, sealer)
    await until_named(fleet, liar, reader)
    again = await stage.read(reader, file, span=second_slice)
    assert again.complete, again
    await until(lambda: proves(stage, reader, file, second_slice), "what was fetched anew is proven", WITHIN)


async def proves(stage: Stage, node: Node, file: Expected, span: tuple[int, int]) -> bool:
    """Whether `node` gives the span as proven."""
    reading = await stage.read(node, file, span=span)
    assert reading.complete, reading
    return "unverified" not in reading.headers["Cache-Status"]
