"""Nodes that know one another: each byte comes from the origin once for all of them."""

from __future__ import annotations

from bench.hub.content import MIB
from tests.kit.fleet import Fleet
from tests.kit.stage import Stage


async def test_a_cold_file_read_at_two_nodes_costs_the_origin_one_transfer(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 80 * MIB)
    nodes = (await Fleet.start(stage, 2)).nodes
    stage.expect_origin_exact()
    readings = [stage.reading(node, file) for node in nodes]
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []


async def test_many_cold_clients_at_three_nodes_cost_one_download(stage: Stage) -> None:
    """Two slices, with owners of their own; every client has its first byte before the origin has sent half of it."""
    file = stage.blob("acme/tiny", "model.safetensors", 70 * MIB)
    fleet = await Fleet.start(stage, 3)
    stage.expect_origin_exact()
    gate = stage.hub.hold("cdn", after=MIB)
    readings = [stage.reading(node, file) for node in fleet.nodes for _ in range(8)]
    for reading in readings:
        await reading.until_received(1)
    assert stage.hub.counters.total_bytes("cdn") < file.size / 2
    gate.release()
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []


async def test_small_files_of_a_fleet_are_fetched_once(stage: Stage) -> None:
    repo = stage.repo("acme/many")
    for number in range(24):
        repo.put_text(f"part-{number}.json", b"%d" % number * 1000)
    repo.put_blob("small.safetensors", 300_000)
    repo.commit("Add files")
    files = [stage.file("acme/many", path) for path in (*(f"part-{n}.json" for n in range(24)), "small.safetensors")]
    nodes = (await Fleet.start(stage, 3)).nodes
    stage.expect_origin_exact()
    readings = [stage.reading(node, file) for file in files for node in nodes]
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []


async def test_a_private_file_is_fetched_with_its_readers_token_wherever_that_is_done(stage: Stage) -> None:
    """The owner of a slice may never have met the caller; those who may not read learn nothing at any node."""
    alice, bob = stage.user("alice"), stage.user("bob")
    repo = stage.world.add_model("acme/secret", private=True)
    repo.put_text("config.json", b"{}")
    repo.put_blob("model.safetensors", 70 * MIB)
    repo.commit("Upload")
    repo.grant("alice")
    nodes = (await Fleet.start(stage, 2)).nodes
    stage.expect_origin_exact()
    for path in ("config.json", "model.safetensors"):
        file = stage.file("acme/secret", path)
        for node in nodes:
            read = await stage.read(node, file, token=alice)
            assert read.complete, read
            refused = await stage.read(node, file, token=bob)
            assert refused.status == 404, refused


async def test_nobody_but_the_nodes_may_ask_on_the_peer_plane(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 2 * MIB)
    nodes = (await Fleet.start(stage, 2)).nodes
    assert (await stage.read(nodes[0], file)).complete
    answer = await stage.ask(nodes[0], f"/-/peer/v1/blobs/sha256:{file.sha256}", Range="bytes=0-9")
    assert answer.status == 403
