"""One lease per slice, renewed, lost, given back; and none of the weaknesses of other locks (RELIABILITY §1.3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.cluster.lease import Busy, Leases, Mine, Outcome, Unknown
from proxy.cluster.leasebook import HOLDERS as MOST_HOLDERS
from proxy.cluster.observer import LeaseOutcome
from proxy.cluster.redis import WITHIN
from proxy.core.blob import BlobKey
from proxy.core.clock import ManualClock
from tests.kit.clockshift import ClockShift
from tests.kit.redis import Flavour, RedisServer, cluster, flavours
from tests.kit.relay import Relay, Weather
from tests.kit.waiting import until

from .workers import EPOCH, HOLDERS, KEY, LEASE, Noted, through, worker

SLACK = 5.0
"""Seconds a loaded machine may add to what is promised: what must not be took a minute, or 38 times WITHIN."""


async def taken(
    leases: Leases, key: BlobKey = KEY, index: int = 0, unreached: AbstractSet[str] = frozenset()
) -> Outcome:
    """What is said to one who asks and lets go at once."""
    async with leases.hold(key, index, frozenset(unreached)) as outcome:
        return outcome


@pytest.mark.parametrize("flavour", flavours(), ids=lambda flavour: flavour.name)
async def test_one_has_it_the_others_are_told_where(tmp_path: Path, flavour: Flavour) -> None:
    async with (
        RedisServer.open(tmp_path / "redis", flavour=flavour) as server,
        worker(server.address, "a") as a,
        worker(server.address, "b") as b,
    ):
        async with a.hold(KEY, 0) as mine:
            assert isinstance(mine, Mine)
            assert not mine.lost
            assert a.has(KEY, 0)
            assert not b.has(KEY, 0)
            assert await taken(b) == Busy("http://a:1", ())
            assert isinstance(await taken(b, index=1), Mine)
            mine.done()
        await until(lambda: gone(server), "the lease is given back")
        assert not a.has(KEY, 0)
        async with b.hold(KEY, 0) as next_one:
            assert isinstance(next_one, Mine)
            assert next_one.holders == ("http://a:1",)
            assert next_one.epoch > mine.epoch
            assert await taken(a) == Busy("http://b:1", ("http://a:1",))


async def test_the_lease_of_a_node_out_of_reach_is_taken_and_its_holder_hears_of_that(server: RedisServer) -> None:
    """It would be read from the origin a second time anyway; so a third does not, and the first can stop."""
    async with (
        worker(server.address, "a", ttl=1.5) as a,
        worker(server.address, "b") as b,
        worker(server.address, "c") as c,
        a.hold(KEY, 0) as older,
    ):
        assert isinstance(older, Mine)
        assert await taken(c, unreached={"http://x:1"}) == Busy("http://a:1", ())
        async with b.hold(KEY, 0, frozenset({"http://x:1", "http://a:1"})) as newer:
            assert isinstance(newer, Mine)
            assert newer.epoch > older.epoch
            assert await taken(c) == Busy("http://b:1", ())
            await until(lambda: older.is_passed_on, "the first holder hears of it")
            assert not a.has(KEY, 0)
            assert await taken(a) == Busy("http://b:1", ())


async def test_the_spans_of_a_slice_share_one_lease(server: RedisServer) -> None:
    noted = Noted()
    async with worker(server.address, noted=noted) as leases:
        async with leases.hold(KEY, 0) as first, leases.hold(KEY, 0) as second:
            assert first is second
        async with leases.hold(KEY, 0) as third:
            assert third is first
    assert noted.leases == [LeaseOutcome.MINE]
    assert await server.ask("EXISTS", LEASE) == 0


async def test_a_hundred_workers_one_lease(server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker(server.address, f"n{i}")) for i in range(50)]
        holding = [stack.enter_async_context(leases.hold(KEY, 0)) for leases in workers for _ in range(2)]
        outcomes = await asyncio.gather(*holding)
        owners = {id(outcome) for outcome in outcomes if isinstance(outcome, Mine)}
        assert len(owners) == 1
        assert not any(isinstance(outcome, Unknown) for outcome in outcomes)


async def test_it_is_renewed_for_as_long_as_it_is_used(server: RedisServer) -> None:
    async with worker(server.address, ttl=1.5) as a, worker(server.address, "b") as b, a.hold(KEY, 0) as mine:
        assert isinstance(mine, Mine)
        until_then = time.monotonic() + 2.0
        while time.monotonic() < until_then:
            assert isinstance(await taken(b), Busy)
            await asyncio.sleep(0.05)
        assert not mine.lost


async def test_who_left_before_the_answer_leaves_no_lease_behind(server: RedisServer) -> None:
    """B: cancelled between sending and reply, `redis.Lock` keeps a lock that nobody can release."""
    async with Relay.open(("127.0.0.1", server.port)) as relay, worker(through(relay.port)) as leases:
        await taken(leases, index=1)
        relay.delay = 0.1
        asking = asyncio.ensure_future(taken(leases))
        await until(lambda: there(server), "the lease is taken")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: gone(server), "the lease is given back")
        assert not any(name.index == 0 for name in leases._holds)


async def test_a_lost_reply_does_not_shut_us_out(server: RedisServer) -> None:
    """A: asked again after a lost reply, `redis.Lock` finds its own key and waits for itself until it expires."""
    async with Relay.open(("127.0.0.1", server.port)) as relay, worker(through(relay.port), within=1.0) as leases:
        await taken(leases, index=1)
        relay.weather = Weather.SWALLOWED
        assert await taken(leases) == Unknown()
        await until(lambda: there(server), "it was granted all the same")
        relay.weather = Weather.FAIR
        relay.reset()
        # what was granted to nobody is given back, and is no obstacle to ourselves meanwhile
        await until(lambda: is_mine(leases), "mine")


async def test_a_lease_that_was_granted_to_nobody_is_given_back(server: RedisServer) -> None:
    async with Relay.open(("127.0.0.1", server.port)) as relay, worker(through(relay.port), within=1.0) as leases:
        await taken(leases, index=1)
        relay.weather = Weather.SWALLOWED
        assert await taken(leases) == Unknown()
        relay.weather = Weather.FAIR
        relay.reset()
        await until(lambda: gone(server), "given back")


async def test_a_reset_is_asked_again_at_once(server: RedisServer) -> None:
    noted = Noted()
    async with Relay.open(("127.0.0.1", server.port)) as relay, worker(through(relay.port), noted=noted) as leases:
        await taken(leases, index=1)
        relay.delay = 0.03
        asking = asyncio.ensure_future(taken(leases))
        await until(lambda: there(server), "the lease is taken")
        relay.reset()
        assert isinstance(await asking, Mine)
    assert LeaseOutcome.UNKNOWN not in noted.leases


async def test_one_task_cannot_let_go_of_what_another_uses(server: RedisServer) -> None:
    """C: a late task's `release()` deletes the lock of another."""
    async with worker(server.address) as leases, worker(server.address, "b") as b, leases.hold(KEY, 0):
        async with leases.hold(KEY, 0):
            pass
        await asyncio.sleep(0)
        assert isinstance(await taken(b), Busy)


async def test_every_key_dies_by_itself(server: RedisServer) -> None:
    """D: `timeout=0` or None makes a lock without end. D3: `extend` adds, here it replaces."""
    async with worker(server.address, ttl=1.5) as leases, leases.hold(KEY, 0) as mine:
        assert isinstance(mine, Mine)
        before = await server.ask("HGET", LEASE, "epoch")
        until_then = time.monotonic() + 2.0
        while time.monotonic() < until_then:
            assert 0 < await server.ask("PTTL", LEASE) <= 1500
            await asyncio.sleep(0.1)
        assert await server.ask("HGET", LEASE, "epoch") == before
        mine.done()
    await until(lambda: gone(server), "given back")
    for key in await server.keys():
        assert await server.ask("PTTL", key) > 0


async def test_a_hung_redis_costs_a_quarter_of_a_second(server: RedisServer) -> None:
    """E: `blocking_timeout=1` returned after 59.5 s."""
    noted = Noted()
    async with worker(server.address, noted=noted, within=WITHIN) as leases:
        await taken(leases, index=1)
        server.pause()
        began = time.monotonic()
        assert await asyncio.gather(*(taken(leases, index=i) for i in range(2, 40))) == [Unknown()] * 38
        assert time.monotonic() - began < WITHIN + SLACK
        server.resume()
        await until(lambda: is_mine(leases), "leases again")


async def test_nobody_polls(server: RedisServer) -> None:
    """H: fifty who wait for a lock are 500 commands a second. Who does not get ours follows the holder instead."""
    noted = Noted()
    async with worker(server.address, "a") as a, worker(server.address, "b", noted=noted) as b, a.hold(KEY, 0):
        async with AsyncExitStack() as stack:
            outcomes = await asyncio.gather(*(stack.enter_async_context(b.hold(KEY, 0)) for _ in range(50)))
            assert set(outcomes) == {Busy("http://a:1", ())}
            await asyncio.sleep(0.3)  # what is looked for is that nothing happens
        assert len(noted.calls) <= 3  # and what it took to find the script


async def test_two_holders_after_a_failover_have_two_numbers(server: RedisServer, tmp_path: Path) -> None:
    """F: the primary dies before the replica has heard of the lease: two holders. Their numbers tell them apart, the
    older learns that it lost when it renews, and takes nothing from the newer."""
    noted = Noted()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        relay = await enter(Relay.open(("127.0.0.1", server.port)))
        a = await enter(worker(through(relay.port), ttl=2.0, noted=noted))
        older = await enter(a.hold(KEY, 0))
        assert isinstance(older, Mine)
        promoted = await enter(RedisServer.open(tmp_path / "promoted"))
        relay.target = ("127.0.0.1", promoted.port)
        await server.kill()
        b = await enter(worker(promoted.address, "b"))
        newer = await enter(b.hold(KEY, 0))
        assert isinstance(newer, Mine)
        assert newer.epoch > older.epoch
        await until(lambda: older.lost, "the older learns it", within=10.0)
        assert await promoted.ask("HGET", LEASE, "epoch") == str(newer.epoch)
        await until(lambda: noted.lost == 1, "it is counted")


async def test_a_holder_that_was_paused_knows_at_once_that_its_time_is_over(server: RedisServer) -> None:
    """G: the holder learns of the second holder only if it asks. Our own deadline is over sooner than Redis' TTL."""
    clock = ManualClock()
    async with worker(server.address, clock=clock, ttl=10.0) as leases, leases.hold(KEY, 0) as mine:
        assert isinstance(mine, Mine)
        left = await server.ask("PTTL", LEASE) / 1000
        clock.advance(8.94)
        assert not mine.lost
        clock.advance(0.02)
        assert mine.lost
        assert left > 8.96


async def test_a_late_release_takes_nothing_from_the_next_holder(server: RedisServer) -> None:
    async with worker(server.address, "b", ttl=60.0) as b:
        async with worker(server.address, "a", ttl=60.0) as a, a.hold(KEY, 0) as older:
            assert isinstance(older, Mine)
            await server.ask("DEL", LEASE)
            b_holds = b.hold(KEY, 0)
            newer = await b_holds.__aenter__()
            assert isinstance(newer, Mine)
            older.done()
        await until(lambda: held_by_a(server), "a says that it has the slice")
        assert await server.ask("HGET", LEASE, "epoch") == str(newer.epoch)
        await b_holds.__aexit__(None, None, None)


async def test_a_holder_learns_whether_another_had_the_slice_after_it_or_nobody(server: RedisServer) -> None:
    """A greater number was given out; or Redis has merely forgotten: then nobody else is at it."""
    async with (
        worker(server.address, "a", ttl=3.0) as a,
        worker(server.address, "b", ttl=3.0) as b,
        a.hold(KEY, 0) as passed_on,
        a.hold(KEY, 1) as forgotten,
    ):
        assert isinstance(passed_on, Mine)
        assert isinstance(forgotten, Mine)
        await server.ask("FLUSHALL")
        async with b.hold(KEY, 0):
            await until(lambda: passed_on.lost and forgotten.lost, "both are lost")
            await until(lambda: passed_on.is_passed_on, "another has it")
            assert not forgotten.is_passed_on


async def test_a_lease_that_redis_forgot_is_lost_and_a_new_one_has_a_greater_number(server: RedisServer) -> None:
    """R: restarted without persistence, a second holder; the number grows all the same."""
    noted = Noted()
    async with worker(server.address, ttl=1.2, noted=noted) as leases, leases.hold(KEY, 0) as older:
        assert isinstance(older, Mine)
        await server.restart()
        await until(lambda: older.lost, "lost")

        async def again() -> Mine | None:
            async with leases.hold(KEY, 0) as newer:
                return newer if isinstance(newer, Mine) else None

        newer = await until(again, "a new lease")
        assert newer.epoch > older.epoch


@pytest.mark.parametrize("jump", [3600.0, -720.0])
async def test_when_the_clock_of_redis_jumps_a_lease_ends_early_or_late_but_ends(tmp_path: Path, jump: float) -> None:
    """J: the clock 12 minutes back, and PTTL shows 780 s: a lock that does not expire."""
    clock = ClockShift(tmp_path / "clock")
    async with (
        RedisServer.open(tmp_path / "redis", clock=clock) as server,
        worker(server.address, "b") as b,
        worker(server.address, "a", ttl=1.0) as a,
        a.hold(KEY, 0) as older,
    ):
        assert isinstance(older, Mine)
        await crash(a)
        clock.set(jump)

        async def free() -> Mine | None:
            outcome = await taken(b)
            return outcome if isinstance(outcome, Mine) else None

        newer = await until(free, "the lease is to be had", within=5.0)
        assert newer.epoch > older.epoch


async def test_the_number_grows_though_the_clock_goes_back(tmp_path: Path) -> None:
    clock = ClockShift(tmp_path / "clock")
    async with RedisServer.open(tmp_path / "redis", clock=clock) as server, worker(server.address) as a:
        first = await taken(a)
        clock.set(-7200.0)
        await server.ask("DEL", LEASE)
        async with worker(server.address, "b") as b:
            second = await taken(b)
    assert isinstance(first, Mine)
    assert isinstance(second, Mine)
    assert second.epoch == first.epoch + 1


GARBAGE = [
    ("SET", LEASE, "x"),
    ("LPUSH", LEASE, "x"),
    ("HSET", LEASE, "worker", "x"),
    ("HSET", LEASE, "worker", "x", "owner", "y", "url", "http://evil:1", "epoch", "1", "ttl", "10000"),
    ("SET", EPOCH, "not a number"),
    ("SET", EPOCH, "nan"),
    ("SET", EPOCH, "1e308"),
    ("SET", EPOCH, "-5"),
    ("HSET", EPOCH, "a", "b"),
    ("SET", HOLDERS, "x"),
    ("HSET", HOLDERS, *(word for i in range(200) for word in (f"http://evil:{i}", "1"))),
]


@pytest.mark.parametrize("command", GARBAGE, ids=lambda command: f"{command[0]} {command[1].split(':')[1]}")
async def test_garbage_in_redis_is_no_obstacle(server: RedisServer, command: tuple[str, ...]) -> None:
    """D again: also a key that has no TTL, whoever made it."""
    async with worker(server.address) as leases:
        await server.ask(*command)
        async with leases.hold(KEY, 0) as mine:
            assert isinstance(mine, Mine)
            assert mine.epoch > 1_700_000_000_000
            assert len(mine.holders) <= MOST_HOLDERS
        async with worker(server.address, "b") as b:
            assert isinstance(await taken(b), Busy)


async def test_a_foreign_lease_with_a_long_life_is_cut(server: RedisServer) -> None:
    await server.ask(*("HSET", LEASE, "worker", "x", "owner", "y", "url", "http://evil:1", "epoch", "1", "ttl", "1e18"))
    await server.ask("PEXPIRE", LEASE, 10**9)
    async with worker(server.address) as leases:
        assert await taken(leases) == Busy("http://evil:1", ())
    assert await server.ask("PTTL", LEASE) <= 300_000


async def test_holders_are_the_last_few(server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        for number in range(MOST_HOLDERS + 3):
            leases = await stack.enter_async_context(worker(server.address, f"n{number}"))
            async with leases.hold(KEY, 0) as mine:
                assert isinstance(mine, Mine)
                mine.done()
            await until(lambda: gone(server), "given back")
        said = await server.ask("HKEYS", HOLDERS)
        assert len(said) == MOST_HOLDERS
        assert f"http://n{MOST_HOLDERS + 2}:1" in said


async def test_a_span_that_failed_gives_the_lease_back_at_once(server: RedisServer) -> None:
    async with worker(server.address) as leases, worker(server.address, "b") as b:
        with pytest.raises(ZeroDivisionError):
            async with leases.hold(KEY, 0):
                raise ZeroDivisionError
        await until(lambda: gone(server), "given back")
        assert isinstance(await taken(b), Mine)


async def test_a_worker_that_ends_gives_back_what_it_has(server: RedisServer) -> None:
    async with worker(server.address) as leases:
        async with leases.hold(KEY, 0):
            pass
        assert await server.ask("EXISTS", LEASE) == 1
    assert await server.ask("EXISTS", LEASE) == 0


async def test_a_worker_that_ends_while_redis_hangs_does_not_wait_for_it(server: RedisServer) -> None:
    began = 0.0
    async with worker(server.address, within=WITHIN) as leases, leases.hold(KEY, 0):
        server.pause()
        began = time.monotonic()
    assert time.monotonic() - began < 3 * WITHIN + SLACK
    server.resume()


async def test_after_the_end_there_are_no_leases(server: RedisServer) -> None:
    async with worker(server.address) as leases:
        pass
    assert await taken(leases) == Unknown()


async def test_leases_in_a_redis_cluster(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (address, _), worker(address) as a, worker(address, "b") as b:
        keys = [BlobKey.sha256(f"{number:064x}") for number in range(20)]
        await until(lambda: is_mine(a), "the cluster is found")
        for key in keys:
            async with a.hold(key, 3) as mine:
                assert isinstance(mine, Mine)
                assert isinstance(await taken(b, key, 3), Busy)


async def is_mine(leases: Leases) -> bool:
    return isinstance(await taken(leases), Mine)


async def gone(server: RedisServer) -> bool:
    return await server.ask("EXISTS", LEASE) == 0


async def there(server: RedisServer) -> bool:
    return not await gone(server)


async def held_by_a(server: RedisServer) -> bool:
    return "http://a:1" in await server.ask("HKEYS", HOLDERS)


async def crash(leases: Leases) -> None:
    """As after kill -9: none of its tasks runs any more, nothing is given back."""
    await leases._tasks.aclose()
    leases._holds.clear()
