"""What breaks in a fleet, and what it costs: RELIABILITY §1.4 and §1.5, row by row, with real nodes and a real Redis.

Whatever happens, every byte is right and every client of a living node is served; the origin sends what was under way
at the lost node a second time, and no more; and afterwards nobody holds anything (oracles O4 and O10). Other rows:
`tests/cluster/test_lease.py` (clocks, lies about owners), `test_fleet_questions.py` (Redis out of order).
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.hub.content import MIB
from proxy.cluster.keys import lease_keys
from proxy.core.blob import BlobKey
from tests.kit.files import Expected
from tests.kit.fleet import Fleet
from tests.kit.node import Node
from tests.kit.reader import Ending, Reading
from tests.kit.redis import RedisServer
from tests.kit.relay import Weather
from tests.kit.stage import Stage

SIZE = 40 * MIB
SPANS = 4 * 2 * MIB
"""What a node of the stage may have under way at once (`fetch.parallel` x `fetch.span`)."""
SHORT = {"cluster__progress_timeout": "2s", "cluster__lease_ttl": "1s"}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer.open(tmp_path / "redis") as server:
        yield server


class Story:
    """A cold file that is being read at every node, with the origin held up in the middle of it."""

    def __init__(self, stage: Stage, fleet: Fleet, file: Expected) -> None:
        self.stage = stage
        self.fleet = fleet
        self.file = file
        self.owner = fleet.owner(file)
        self.others = [node for node in fleet.nodes if node is not self.owner]
        self.gate = stage.hub.hold("cdn", after=MIB, skip=6)
        self.readings: dict[Node, list[Reading]] = {}

    @classmethod
    async def begun(cls, stage: Stage, redis: RedisServer | None = None, *, count: int = 3, **settings: str) -> Story:
        """Three nodes, two clients at each, all of them with some bytes, none with all."""
        file = stage.blob("acme/tiny", "model.safetensors", SIZE)
        story = cls(stage, await Fleet.start(stage, count, redis=redis, **settings), file)
        for node in story.fleet.nodes:
            story.read_at(node)
        for readings in story.readings.values():
            for reading in readings:
                await reading.until_received(4 * MIB)
        return story

    def read_at(self, node: Node) -> None:
        self.readings[node] = [self.stage.reading(node, self.file) for _ in range(2)]

    async def ends_well(self, *but: Node) -> None:
        """The origin goes on; every client is served, but for those at nodes that are gone."""
        self.gate.release()
        everybody = [reading for readings in self.readings.values() for reading in readings]
        await self.stage.ended(*everybody)
        served = [reading for node, readings in self.readings.items() if node not in but for reading in readings]
        assert [str(reading) for reading in served if not reading.complete] == []


async def test_without_a_fault_the_origin_sends_every_byte_once(stage: Stage, redis: RedisServer) -> None:
    stage.expect_origin_exact()
    story = await Story.begun(stage, redis)
    await story.ends_well()


@pytest.mark.parametrize("with_redis", [True, False])
async def test_the_owner_is_killed(stage: Stage, redis: RedisServer, with_redis: bool) -> None:
    stage.allow_origin(SPANS)
    story = await Story.begun(stage, redis if with_redis else None, **SHORT)
    await stage.kill(story.owner)
    await story.ends_well(story.owner)
    await stage.start(story.owner)  # and finds its books in order
    again = await stage.read(story.owner, story.file)
    assert again.complete, again


async def test_the_owner_is_paused_for_longer_than_its_lease_and_goes_on_late(stage: Stage, redis: RedisServer) -> None:
    """Its lease is another's when it wakes; what it writes then is right, and it deletes nothing that is another's."""
    stage.allow_origin(2 * SPANS)
    story = await Story.begun(stage, redis, **SHORT)
    story.owner.signal(signal.SIGSTOP)
    try:
        story.gate.release()
        await stage.ended(*(reading for node in story.others for reading in story.readings[node]))
    finally:
        story.owner.signal(signal.SIGCONT)
    await story.ends_well()
    assert (await story.owner.metrics()).total("leases_lost_total") == 1


async def test_redis_is_killed_in_the_middle(stage: Stage, redis: RedisServer) -> None:
    stage.expect_origin_exact()
    story = await Story.begun(stage, redis)
    await redis.kill()
    await story.ends_well()


async def test_redis_is_paused_in_the_middle_and_nobody_waits_for_it(stage: Stage, redis: RedisServer) -> None:
    stage.expect_origin_exact()
    story = await Story.begun(stage, redis)
    redis.pause()
    try:
        await story.ends_well()
        second = stage.blob("acme/tiny", "second.safetensors", 6 * MIB)
        readings = [stage.reading(node, second) for node in story.fleet.nodes]
        await stage.ended(*readings)
        assert all(reading.complete for reading in readings)
    finally:
        redis.resume()


async def test_redis_forgets_everything_and_flaps(stage: Stage, redis: RedisServer) -> None:
    stage.expect_origin_exact()
    story = await Story.begun(stage, redis)
    await redis.ask("FLUSHALL")
    for _ in range(3):
        await redis.restart()
    await story.ends_well()


async def test_redis_is_full_of_lies_and_of_leases_of_the_dead(stage: Stage, redis: RedisServer) -> None:
    """Leases of nobody that last for minutes, holders that have nothing, keys of other types: a moment lost for each,
    and the byte comes once."""
    stage.expect_origin_exact()
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    fleet = await Fleet.start(stage, 3, redis=redis, **SHORT)
    lease, epoch, holders = lease_keys(BlobKey.sha256(file.sha256), 0)
    stranger = fleet.urls[0].rpartition(":")[0] + ":9"
    await redis.ask("HSET", lease, "worker", "w", "owner", "o", "url", stranger, "epoch", "7", "ttl", "300000")
    await redis.ask("PEXPIRE", lease, "300000")
    await redis.ask("SET", epoch, "no number")
    await redis.ask("HSET", holders, stranger, "1", *(word for url in fleet.urls for word in (url, "1")))
    readings = [stage.reading(node, file) for node in fleet.nodes for _ in range(2)]
    await stage.ended(*readings)
    assert [str(reading) for reading in readings if not reading.complete] == []
    await redis.ask("DEL", lease)  # ours to take away: nobody else knows whose it is


async def test_readers_leave_and_nobody_goes_on_without_them(stage: Stage, redis: RedisServer) -> None:
    """The one who caused the download leaves, and the others have it all; then all leave, and nothing goes on."""
    stage.allow_origin(None)  # what the last ones left unread is dropped at an edge of the origin's choosing
    story = await Story.begun(stage, redis)
    first = stage.blob("acme/tiny", "second.safetensors", 150 * MIB)
    leaving = [stage.reading(node, first, leave_after=5 * MIB) for node in story.fleet.nodes]
    await story.ends_well()
    await stage.ended(*leaving)
    assert {reading.ending for reading in leaving} == {Ending.LEFT}


@pytest.mark.parametrize("weather", [Weather.STALLED, Weather.RESET, Weather.SWALLOWED])
async def test_the_way_to_the_owner_is_cut(stage: Stage, redis: RedisServer, weather: Weather) -> None:
    """The clients of the others go on at the exact byte where it stopped. Its own are served by it: what it fetches for
    them, and cannot give to anybody, is fetched a second time, and never a third."""
    stage.allow_origin(SIZE)
    story = await Story.begun(stage, redis, **SHORT)
    story.fleet.relay(story.owner).weather = weather
    await story.ends_well()
    story.fleet.relay(story.owner).weather = Weather.FAIR


async def test_a_node_joins_in_the_middle(stage: Stage, redis: RedisServer) -> None:
    """Whoever it takes slices from still has them, and is asked for them."""
    stage.allow_origin(SPANS)
    file = stage.blob("acme/tiny", "model.safetensors", SIZE)
    story = Story(stage, await Fleet.start(stage, 3, redis=redis, missing=1), file)
    for node in story.fleet.nodes:
        story.read_at(node)
    await story.gate.reached()
    story.read_at(await story.fleet.join())
    await story.fleet.until_all_know_all()
    await story.ends_well()


async def test_a_node_drains_in_the_middle(stage: Stage, redis: RedisServer) -> None:
    """It ends what it has begun, and those who take over read from it what it has.

    When Redis is late to say who reads, who leaves and who takes over each have spans under way."""
    stage.allow_origin(2 * SPANS)
    story = await Story.begun(stage, redis)
    story.owner.signal(signal.SIGTERM)
    await story.ends_well()
    assert await story.owner.wait() == 0


async def test_an_owner_that_is_slow_is_helped_out_within_the_budget(stage: Stage) -> None:
    """What it has not given in time comes from the origin too, as long as that is 5 % of all bytes at most."""
    stage.allow_origin(None)  # the sum is asserted below, by the nodes' own books
    fleet = await Fleet.start(stage, 2, cluster__progress_timeout="1s", cluster__rate_floor="8MiB")
    first = stage.blob("acme/tiny", "first.safetensors", 60 * MIB)
    asking = fleet.ranked(first)[1]
    assert (await stage.read(asking, first)).complete
    slow = fleet.file_of({0: fleet.owner(first)}, 10 * MIB)
    fleet.relay(fleet.owner(slow)).rate = 2 * MIB
    reading = await stage.read(asking, slow)
    assert reading.complete, reading
    await stage.quiet(asking)
    page = await asking.metrics()
    hedged = page.total("fleet_origin_bytes_total", reason="hedge")
    assert 0 < hedged <= 0.05 * (page.total("peer_bytes_total") + page.total("fleet_origin_bytes_total"))
