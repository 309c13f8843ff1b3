"""The line to Redis: never a long wait, never a wrong answer, back by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
import trustme
import uvloop

from proxy.cluster.observer import RedisResult
from proxy.cluster.redis import CALLS, REST, WITHIN, Script, SharedRedis
from proxy.config.redis_address import InCluster, Login, OneServer, RedisAddress
from proxy.core.clock import SystemClock
from proxy.core.errors import RedisAway
from proxy.core.secret import Secret
from tests.kit.redis import RedisServer, cluster, free_port, sentinels
from tests.kit.relay import Relay, Weather
from tests.kit.waiting import until

SLACK = 0.75
"""Seconds a loaded machine may add to what is promised."""


class Noted:
    def __init__(self) -> None:
        self.results: list[RedisResult] = []
        self.breaker: list[str] = []

    def redis_call(self, result: RedisResult, seconds: float) -> None:
        self.results.append(result)

    def redis_breaker(self, state: str) -> None:
        self.breaker.append(state)


@asynccontextmanager
async def line(address: RedisAddress, noted: Noted | None = None, within: float = WITHIN) -> AsyncIterator[SharedRedis]:
    opened = SharedRedis.open(address, clock=SystemClock(), observer=noted or Noted(), chance=Random(1), within=within)
    async with opened as redis:
        yield redis


async def refused(redis: SharedRedis) -> float:
    """One call that gets no answer; how long that took."""
    began = time.monotonic()
    with pytest.raises(RedisAway):
        await redis.ask("PING")
    return time.monotonic() - began


async def back(redis: SharedRedis) -> None:
    """Wait until calls are answered again, as somebody does who keeps asking."""

    async def answered() -> bool:
        try:
            return bool(await redis.ask("SET", "back", "1", "EX", 10))
        except RedisAway:
            return False

    await until(answered, "redis is back", within=20.0)


async def test_commands_and_scripts_are_answered(server: RedisServer) -> None:
    script = Script("return {KEYS[1], ARGV[1]}")
    async with line(server.address) as redis:
        assert await redis.ask("SET", "a", "1") in (b"OK", True)
        assert await redis.ask("GET", "a") == b"1"
        assert await redis.run(script, ["k"], [7]) == [b"k", b"7"]


async def test_a_script_is_sent_again_when_redis_forgot_it(server: RedisServer) -> None:
    script = Script("return 5")
    async with line(server.address) as redis:
        assert await redis.run(script, [], []) == 5
        await server.ask("SCRIPT", "FLUSH")
        assert await redis.run(script, [], []) == 5


async def test_away_at_start_costs_little_and_it_comes_back_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    noted = Noted()
    port = free_port()
    async with line(OneServer(("127.0.0.1", port), 0, Login()), noted) as redis:
        for _ in range(REST.failures):
            assert await refused(redis) < WITHIN + SLACK
        assert redis.is_away
        await refused(redis)
        assert noted.results[-1] is RedisResult.SKIPPED
        async with RedisServer.open(tmp_path / "late", port=port):
            await back(redis)
    assert noted.breaker[0] == "open"
    assert noted.breaker[-1] == "closed"
    first = next(record for record in caplog.records if record.message == "redis is away")
    assert vars(first)["reason"].startswith("ConnectionError: "), "why it is away"
    assert "redis is back" in caplog.messages


async def test_a_paused_redis_is_waited_for_a_quarter_of_a_second(server: RedisServer) -> None:
    noted = Noted()
    async with line(server.address, noted) as redis:
        await redis.ask("PING")
        server.pause()
        began = time.monotonic()
        await asyncio.gather(*(refused(redis) for _ in range(4 * CALLS)))
        assert time.monotonic() - began < WITHIN + SLACK
        assert RedisResult.SLOW in noted.results
        began = time.monotonic()
        with pytest.raises(RedisAway):
            await redis.ask("PING")
        assert time.monotonic() - began < WITHIN + SLACK
        server.resume()
        await back(redis)


async def test_a_late_answer_is_nobody_elses(server: RedisServer) -> None:
    async with (
        Relay.open(("127.0.0.1", server.port)) as relay,
        line(OneServer(("127.0.0.1", relay.port), 0, Login())) as redis,
    ):
        await redis.ask("SET", "a", "old")
        relay.weather = Weather.STALLED
        with pytest.raises(RedisAway):
            await redis.ask("GET", "a")
        relay.weather = Weather.FAIR
        for number in range(20):
            assert await redis.ask("ECHO", str(number)) == str(number).encode()


async def test_a_call_that_is_cancelled_leaves_nothing_behind_for_the_next(server: RedisServer) -> None:
    async with (
        Relay.open(("127.0.0.1", server.port)) as relay,
        line(OneServer(("127.0.0.1", relay.port), 0, Login())) as redis,
    ):
        await redis.ask("PING")
        relay.delay = 0.05
        for number in range(5):
            task = asyncio.ensure_future(redis.ask("ECHO", f"cancelled {number}"))
            await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await redis.ask("ECHO", str(number)) == str(number).encode()


@pytest.mark.parametrize("weather", [Weather.SWALLOWED, Weather.RESET])
async def test_lost_replies_and_resets_are_bounded_too(server: RedisServer, weather: Weather) -> None:
    async with (
        Relay.open(("127.0.0.1", server.port)) as relay,
        line(OneServer(("127.0.0.1", relay.port), 0, Login())) as redis,
    ):
        await redis.ask("PING")
        relay.weather = weather
        for _ in range(REST.failures):
            assert await refused(redis) < WITHIN + SLACK
        assert redis.is_away
        relay.weather = Weather.FAIR
        await back(redis)


def test_a_connection_that_is_reset_is_a_lost_answer_on_the_loop_of_production_too(tmp_path: Path) -> None:
    """uvloop says RuntimeError when the reset was there before we write: nothing that asks Redis may die of it."""

    async def story() -> None:
        async with (
            RedisServer.open(tmp_path / "redis") as server,
            Relay.open(("127.0.0.1", server.port)) as relay,
            line(OneServer(("127.0.0.1", relay.port), 0, Login()), within=5.0) as redis,
        ):
            for pause in range(12):
                await back(redis)
                relay.reset()
                for _ in range(pause):
                    await asyncio.sleep(0)
                with suppress(RedisAway):
                    await redis.ask("PING")
                assert await redis.ask("PING")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


async def test_a_redis_that_was_killed_and_came_back_empty_is_used_again(server: RedisServer) -> None:
    async with line(server.address) as redis:
        await redis.ask("SET", "a", "1")
        await server.kill()
        await refused(redis)
        await server.start()
        await back(redis)
        assert await redis.ask("GET", "a") is None


async def test_out_of_memory_is_away_and_reading_it_open_again_is_seen(server: RedisServer) -> None:
    noted = Noted()
    async with line(server.address, noted) as redis:
        await server.ask("CONFIG", "SET", "maxmemory", "1")
        for _ in range(REST.failures):
            with pytest.raises(RedisAway):
                await redis.ask("SET", "a", "1")
        assert set(noted.results) == {RedisResult.LOST}
        assert redis.is_away
        await server.ask("CONFIG", "SET", "maxmemory", "0")
        await back(redis)


async def test_out_of_memory_inside_a_script_is_away(server: RedisServer) -> None:
    noted = Noted()
    async with line(server.address, noted) as redis:
        await server.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(RedisAway):
            await redis.run(Script("return redis.call('SET', KEYS[1], 'x')"), ["a"], [])
    assert noted.results == [RedisResult.LOST]


async def test_a_read_only_replica_is_away_until_it_is_the_primary(server: RedisServer, tmp_path: Path) -> None:
    async with (
        RedisServer.open(tmp_path / "replica", "--replicaof", "127.0.0.1", str(server.port)) as replica,
        line(replica.address) as redis,
    ):
        with pytest.raises(RedisAway):
            await redis.ask("SET", "a", "1")
        await replica.ask("REPLICAOF", "NO", "ONE")
        await back(redis)


async def test_a_wrong_password_is_away_and_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "sesame-wrong-canary"
    async with RedisServer.open(tmp_path / "locked", "--requirepass", "right") as server:
        async with line(OneServer(("127.0.0.1", server.port), 0, Login(password=Secret(wrong)))) as redis:
            with pytest.raises(RedisAway) as error:
                await redis.ask("PING")
        async with line(OneServer(("127.0.0.1", server.port), 0, Login(password=Secret("right")))) as redis:
            assert await redis.ask("ECHO", "in") == b"in"
    assert wrong not in caplog.text + repr(error.value) + str(error.value)


async def test_garbage_under_a_key_concerns_that_key_alone(server: RedisServer) -> None:
    noted = Noted()
    async with line(server.address, noted) as redis:
        await server.ask("LPUSH", "a", "1")
        for _ in range(2 * REST.failures):
            with pytest.raises(RedisAway):
                await redis.ask("GET", "a")
        assert set(noted.results) == {RedisResult.REFUSED}
        assert await redis.ask("PING") in (b"PONG", True)


@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_the_new_primary_is_found_after_a_failover(tmp_path: Path, how: str) -> None:
    async with sentinels(tmp_path) as group, line(group.address) as redis, redis.subscribe("a") as hints:
        await back(redis)
        if how == "killed":
            await group.primary.kill()
        else:
            group.primary.pause()
        await back(redis)
        assert await group.replica.ask("GET", "back") == "1"

        async def heard() -> bool:
            await group.replica.ask("PUBLISH", "a", "x")
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    return await hints.next() == b"x"
            return False

        await until(heard, "hints of the new primary", within=20.0)


async def test_a_cluster_is_spoken_to_slot_by_slot(tmp_path: Path) -> None:
    script = Script("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[2])")
    async with cluster(tmp_path) as (address, nodes), line(address) as redis:
        await back(redis)
        for number in range(50):
            tag = "{" + str(number) + "}"
            await redis.ask("SET", f"b{tag}", number)
            assert await redis.run(script, [f"a{tag}", f"b{tag}"], [1]) == str(number).encode()
        held = [await node.ask("DBSIZE") for node in nodes]
        assert sum(held) >= 100
        assert all(held)


async def test_a_lost_node_of_a_cluster_takes_only_its_slots_along(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (address, nodes):
        for node in nodes:
            await node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        async with line(address) as redis:
            await back(redis)
            await nodes[0].kill()
            keys = [f"k{number}" for number in range(60)]

            async def some_and_not_all() -> bool:
                answered = 0
                for key in keys:
                    try:
                        await redis.ask("SET", key, "1", "EX", 60)
                        answered += 1
                    except RedisAway:
                        pass
                return 0 < answered < len(keys)

            await until(some_and_not_all, "the other slots", within=20.0)


# --- what answers there and is no Redis in order ------------------------------------------------------------------


LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
MOVED = b"-MOVED 1 127.0.0.1:1\r\n"
ODD = {
    "loading": LOADING,
    "moved": MOVED,
    "busy with a script": b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "half an answer": b"$100\r\nhalf",
    "a huge answer": b"$999999999999\r\n" + b"x" * 100_000,
    "nothing": b"",
    "noise": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_what_is_no_redis_in_order_costs_little_and_is_given_a_rest(kind: str, answer: bytes) -> None:
    noted = Noted()
    async with odd_server(answer) as port:
        host = ("127.0.0.1", port)
        address: RedisAddress = OneServer(host, 0, Login()) if kind == "one" else InCluster((host,), Login())
        async with line(address, noted) as redis:
            for _ in range(REST.failures + 1):
                began = time.monotonic()
                with pytest.raises(RedisAway):
                    await redis.ask("SET", "a", "1")
                assert time.monotonic() - began < WITHIN + SLACK
            if not answer.startswith(b"-MOVED"):
                assert redis.is_away
                assert noted.breaker[-1] == "open"


@asynccontextmanager
async def odd_server(answer: bytes) -> AsyncIterator[int]:
    """Says `answer` to whatever it is asked."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_port(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[int]:
    """A Redis that speaks TLS alone on that port."""
    port, cert = free_port(), authority.issue_cert("localhost")
    cert.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    cert.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = ("--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem")
    words = [word if word.startswith("--") else str(tmp_path / word) for word in files]
    options = ("--tls-port", str(port), "--tls-auth-clients", "no", *words)
    async with RedisServer.open(tmp_path / "redis", *options):
        yield port


async def test_tls_is_spoken_to_whom_the_authority_vouches_for(tmp_path: Path, tls_port: int) -> None:
    login = Login(tls=True, ca=str(tmp_path / "ca.pem"))
    async with line(OneServer(("localhost", tls_port), 0, login), within=5.0) as redis:
        assert await redis.ask("ECHO", "sealed") == b"sealed"


async def test_a_stranger_or_another_name_is_not_spoken_to(tmp_path: Path, tls_port: int) -> None:
    stranger = trustme.CA()
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    for host, ca in (("localhost", "stranger.pem"), ("127.0.0.1", "ca.pem")):
        login = Login(tls=True, ca=str(tmp_path / ca))
        async with line(OneServer((host, tls_port), 0, login), within=5.0) as redis:
            with pytest.raises(RedisAway):
                await redis.ask("ECHO", "sealed")
