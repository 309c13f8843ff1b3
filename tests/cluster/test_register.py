"""The register, in a real Redis: what it holds, for how long, and what it makes of lies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.cluster.members import Member, MemberState
from proxy.cluster.observer import Unobserved
from proxy.cluster.redis import SharedRedis
from proxy.cluster.register import KEPT_MS, KEY, MOST_OUT, Register
from proxy.cluster.roster import Said, mark_of
from proxy.core.clock import SystemClock
from proxy.core.errors import RedisAway
from tests.kit.redis import Flavour, RedisServer, flavours
from tests.kit.waiting import until

A, B, C = (Member(name, f"http://{name}:8080", 10, boot="1") for name in "abc")
LONG = 60.0


@pytest.fixture(params=flavours(), ids=lambda flavour: flavour.name)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RedisServer]:
    flavour: Flavour = request.param
    async with RedisServer.open(tmp_path / "redis", flavour=flavour) as running:
        yield running


@asynccontextmanager
async def register(server: RedisServer, silence: float = LONG) -> AsyncIterator[Register]:
    async with SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved()) as line:
        yield Register(line, silence=silence)


async def test_everybody_who_beats_is_told_of_all(server: RedisServer) -> None:
    async with register(server) as of_a, register(server) as of_b:
        assert (await of_a.beat(A)).said.members == (A,)
        assert (await of_b.beat(B)).said.members == (A, B)
        assert (await of_a.beat(A)).said.members == (A, B)


async def test_who_draws_back_and_leaves_is_heard_by_all(server: RedisServer) -> None:
    async with register(server) as of_a, register(server) as of_b:
        await of_a.beat(A)
        await of_b.beat(replace(B, state=MemberState.DRAINING))
        assert (await of_a.beat(A)).said.members == (A, replace(B, state=MemberState.DRAINING))
        await of_b.beat(B, goodbye=True)
        said = (await of_a.beat(A)).said
        assert said.members == (A,)
        assert said.gone == {B.url}


async def test_a_node_does_not_come_back_within_one_life_and_does_in_the_next(server: RedisServer) -> None:
    """One worker drains while another has not heard of it."""
    async with register(server) as of_b:
        await of_b.beat(replace(B, state=MemberState.DRAINING))
        assert (await of_b.beat(B)).said.members == (replace(B, state=MemberState.DRAINING),)
        await of_b.beat(B, goodbye=True)
        assert (await of_b.beat(replace(B, state=MemberState.DRAINING))).said.members == ()
        again = replace(B, boot="2")
        beaten = await of_b.beat(again)
        assert beaten.said.members == (again,)
        assert beaten.former == "1"


async def test_who_cannot_be_reached_is_named_and_hears_it(server: RedisServer) -> None:
    async with register(server) as of_a, register(server) as of_b:
        await of_b.beat(B)
        assert (await of_a.beat(A, out=[B.url])).said.left_out == ((A.url, mark_of(B.url)),)
        aside = replace(B, state=MemberState.ASIDE)
        assert (await of_b.beat(aside)).said == Said((A, aside), left_out=((A.url, mark_of(B.url)),))
        assert (await of_a.beat(A)).said == Said((A, aside))
        assert (await of_b.beat(B)).said == Said((A, B)), "it comes back within its life"


async def test_no_more_are_named_than_a_field_may_hold(server: RedisServer) -> None:
    async with register(server) as of_a:
        said = (await of_a.beat(A, out=[f"http://n{number}" for number in range(100)])).said
        assert len(said.left_out) == MOST_OUT


async def test_who_is_silent_is_taken_out_by_the_next_beat_of_anybody(server: RedisServer) -> None:
    async with register(server, silence=0.05) as of_a, register(server) as of_b:
        await of_a.beat(A)

        async def alone() -> bool:
            return (await of_b.beat(B)).said.members == (B,)

        await until(alone, "a is taken out")
        assert await server.ask("HLEN", KEY) == 1


async def test_each_entry_holds_as_long_as_its_writer_said(server: RedisServer) -> None:
    """A node of short heartbeats does not take out one of long ones."""
    async with register(server) as of_a, register(server, silence=0.001) as of_b:
        await of_a.beat(A)
        for _ in range(3):
            assert A in (await of_b.beat(B)).said.members


async def test_an_entry_from_the_future_is_taken_out(server: RedisServer) -> None:
    """The clock went back: its node will be there again with its next beat."""
    async with register(server) as of_a:
        await server.ask("HSET", KEY, B.url, '9999999999999|60000|up|1|{"name":"b","weight":10}')
        assert (await of_a.beat(A)).said.members == (A,)


async def test_the_register_of_a_fleet_that_is_gone_is_gone_too(server: RedisServer) -> None:
    async with register(server) as of_a:
        await of_a.beat(A)
        assert 0 < await server.ask("PTTL", KEY) <= KEPT_MS
        assert await server.keys() == [KEY]


async def test_nothing_but_a_digest_travels_when_nothing_changed(server: RedisServer) -> None:
    sizes: list[int] = []

    class Weighed:
        async def run(self, script: object, keys: object, words: object) -> object:
            answer = await line.run(script, keys, words)  # type: ignore[arg-type]
            sizes.append(len(answer))
            return answer

    async with SharedRedis.open(server.address, clock=SystemClock(), observer=Unobserved()) as line:
        weighed = Register(Weighed(), silence=LONG)
        for _ in range(3):
            assert (await weighed.beat(A)).said.members == (A,)
    assert sizes == [4, 3, 3]


LIES = [
    "",
    "garbage",
    "1|2|up",
    "{now}|60000|king|1|{}",
    "{now}|60000|up|1|",
    "{now}|60000|up|1|[]",
    "{now}|60000|up|1|{}",
    '{now}|60000|up|1|{"name":"b"}',
    '{now}|60000|up|1|{"name":"b","weight":0}',
    '{now}|60000|up|1|{"name":"b","weight":-5}',
    '{now}|60000|up|1|{"name":"b","weight":1e300}',
    '{now}|60000|up|1|{"name":"b","weight":"10"}',
    '{now}|60000|up|1|{"name":"b","weight":true}',
    '{now}|60000|up|1|{"name":"","weight":10}',
    '{now}|60000|up|1|{"name":7,"weight":10}',
    '{now}|60000|up|1|{"name":"b","weight":10,"out":7}',
    "99999999999999999999999999999|60000|up|1|{}",
    "-1|60000|up|1|{}",
    "nan|nan|up|1|{}",
    "{now}|60000|up|\u00e9|{}",
]


async def test_what_no_node_of_ours_wrote_is_no_member(server: RedisServer) -> None:
    now = int((await server.ask("TIME"))[0]) * 1000
    right = f'{now}|60000|up|1|{{"name":"x","weight":10}}'
    async with register(server) as of_a:
        for number, lie in enumerate(LIES):
            await server.ask("HSET", KEY, f"http://lie{number}", lie.replace("{now}", str(now)))
        await server.ask("HSET", KEY, b"\xff\xfe", right)
        await server.ask("HSET", KEY, "http://" + "x" * 400, right)
        await server.ask("HSET", KEY, C.url, right)
        said = (await of_a.beat(A)).said
        assert said.members == (A, replace(C, name="x"))
        assert said.gone == frozenset()


async def test_a_register_that_is_no_hash_is_no_answer_and_no_crash(server: RedisServer) -> None:
    async with register(server) as of_a:
        await server.ask("SET", KEY, "mine")
        with pytest.raises(RedisAway):
            await of_a.beat(A)
