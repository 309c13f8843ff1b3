"""Many clients, one cold file."""

from __future__ import annotations

import pytest

from bench.hub.content import MIB
from tests.kit.stage import Stage

READERS = 64


async def test_64_cold_readers_over_two_workers_cost_one_download(stage: Stage) -> None:
    """HUB-PROTOCOL §7.13: origin bytes are 1.00 × the size, and one HEAD finds the file for all."""
    size = 32 * MIB
    file = stage.blob("acme/tiny", "model.safetensors", size)
    node = await stage.node(workers=2)
    stage.expect_origin_exact()
    gate = stage.hub.hold("cdn", after=MIB)
    readings = [stage.reading(node, file) for _ in range(READERS)]
    # Every reader has its first byte while the origin has not given half of the file to anybody.
    for reading in readings:
        await reading.until_received(1)
    assert stage.hub.counters.total_bytes("cdn") < size / 2
    gate.release()
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []
    heads = [record for record in stage.hub.log if record.method == "HEAD"]
    assert len(heads) == 1, heads


@pytest.mark.parametrize("workers", [2, 4])
async def test_eight_cold_readers_of_ranges_that_overlap_cost_each_byte_once(stage: Stage, workers: int) -> None:
    size = 48 * MIB
    file = stage.blob("acme/tiny", "model.safetensors", size)
    node = await stage.node(workers=workers)
    stage.expect_origin_exact()
    starts = range(0, size // 2, size // 16)
    await stage.ended(*(stage.reading(node, file, span=(start, start + size // 2)) for start in starts))


async def test_readers_that_come_later_follow_the_same_download(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 16 * MIB)
    node = await stage.node(workers=2)
    stage.expect_origin_exact()
    gate = stage.hub.hold("cdn", after=MIB, skip=2)
    leader = stage.reading(node, file)
    await leader.until_received(2 * MIB)
    followers = [stage.reading(node, file) for _ in range(8)]
    for follower in followers:
        await follower.until_received(2 * MIB)
    gate.release()
    await stage.ended(leader, *followers)
    assert all(reading.complete for reading in (leader, *followers))


async def test_a_leader_that_leaves_stops_nobody(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 16 * MIB)
    node = await stage.node()
    stage.expect_origin_exact()
    gate = stage.hub.hold("cdn", after=MIB, skip=2)
    leader = stage.reading(node, file, leave_after=MIB)
    follower = stage.reading(node, file)
    await stage.ended(leader)
    gate.release()
    await stage.ended(follower)
    assert follower.complete, follower


async def test_an_abandoned_download_stops_and_keeps_what_it_has(stage: Stage) -> None:
    """More is missing than `fetch.finish_below`, so the fill ends at a span; a later reader goes on from there."""
    file = stage.blob("acme/tiny", "model.safetensors", 64 * MIB)
    node = await stage.node()
    stage.faults.connection_bandwidth = 8 * MIB
    await stage.read(node, file, leave_after=4 * MIB)
    await stage.quiet(node)
    fetched = stage.hub.counters.total_bytes("cdn")
    assert fetched < 32 * MIB, "the rest of an abandoned file is not fetched"
    stage.faults.connection_bandwidth = None
    again = await stage.read(node, file)
    assert again.complete, again


async def test_ranges_of_many_readers_are_fetched_once(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 24 * MIB)
    node = await stage.node(workers=2)
    spans = [
        (start * 100_003 % file.size, start * 100_003 % file.size + 300_000 * (start % 9 + 1)) for start in range(40)
    ]
    readings = [stage.reading(node, file, span=span) for span in spans]
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []
    stage.wants(file)  # read-ahead may fetch all of it, once


async def test_a_cold_range_at_the_end_of_a_huge_file_costs_that_range(stage: Stage) -> None:
    """8 GiB are declared; their bytes are a function, their digest is taken on trust."""
    size = 8 << 30
    file = stage.blob("acme/huge", "model.gguf", size, sha256="ab" * 32)
    node = await stage.node(disk_size="16GiB")
    tail = await stage.read(node, file, span=(size - 1000, size))
    assert tail.complete, tail
    await stage.quiet(node)
    assert stage.hub.counters.total_bytes("cdn") <= 2 * MIB


async def test_a_slow_reader_holds_up_nobody_and_no_memory(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 48 * MIB)
    node = await stage.node(limits__send_timeout="30s")
    slow = [stage.reading(node, file, pause_after=1) for _ in range(16)]
    for reading in slow:
        await reading.until_received(1)
    quick = await stage.read(node, file)
    assert quick.complete, quick
    for reading in slow:
        reading.resume.set()
    await stage.ended(*slow)
    assert all(reading.complete for reading in slow)


async def test_a_reader_that_takes_nothing_is_let_go(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 48 * MIB)
    node = await stage.node(limits__send_timeout="1s")
    stuck = stage.reading(node, file, pause_after=1)
    await stuck.until_received(1)
    await stage.quiet(node)
    stuck.resume.set()
    await stage.ended(stuck)
    assert not stuck.complete


async def test_over_a_thin_line_no_more_is_asked_for_at_once_than_comes_in_half_a_second(stage: Stage) -> None:
    """Requests under way share the line: the first of four has a quarter of it, and the reader with it."""
    file = stage.blob("acme/tiny", "model.safetensors", 12 * MIB)
    node = await stage.node(fetch__span="16MiB")
    stage.expect_origin_exact()
    stage.faults.bandwidth = 8 * MIB
    reading = await stage.read(node, file)
    assert reading.complete, reading
    given = [record.bytes_sent for record in stage.hub.log if record.kind == "cdn"]
    assert sum(given) == file.size
    assert max(given) <= 4 * MIB, given
