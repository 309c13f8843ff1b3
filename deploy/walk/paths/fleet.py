"""The fleet breaks: a node, the ways between nodes, their clocks, their Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from bench.hub.content import MIB
from deploy.walk.ground import Ground
from deploy.walk.path import path
from tests.kit.clockshift import ClockShift
from tests.kit.relay import Weather

LIAR: Final[dict[str, Any]] = {
    "sabotaged": "flip-a-byte",
    "cluster__prove_after": "500ms",
    "cluster__connect_timeout": "10s",
    "cluster__progress_timeout": "30s",
    "cluster__rate_floor": "0",
    "fetch__read_ahead": "0",
    "fetch__finish_below": "0",
}
"""The first node turns a bit of all it sends; the others are patient, so that nobody is passed over for being slow."""


@path(
    "PenstockRedisAway",
    broken="Redis killed",
    done="Redis started again; no node restarted",
)
async def redis_away(ground: Ground) -> None:
    fleet = await ground.fleet(2)
    kept = ground.stage.blob("acme/tiny", "model.safetensors", 3 * MIB)
    assert (await ground.stage.read(fleet.nodes[0], kept)).complete
    assert fleet.redis is not None
    await ground.quiet()
    await fleet.redis.kill()
    await ground.fires()
    assert (await ground.stage.read(fleet.nodes[0], kept)).complete, "what is here is served"
    assert (await ground.command(fleet.nodes[0], "cluster", "status")).returncode == 4
    await fleet.redis.start()
    await ground.over()


@path(
    "PenstockMemberGone",
    broken="kill -9 of one of two nodes; `penstock cluster status` names it, exit code 4",
    done="started again",
)
async def member_gone(ground: Ground) -> None:
    fleet = await ground.fleet(2)
    await ground.quiet()
    await fleet.nodes[1].kill()
    await ground.fires()
    told = await ground.command(fleet.nodes[0], "cluster", "status")
    assert told.returncode == 4, told
    assert "n1" in told.stderr
    await ground.stage.start(fleet.nodes[1])
    await ground.over()


@path(
    "PenstockMemberEjected",
    broken="the way to one of three nodes swallows everything; `penstock cluster status` names it",
    done="the way mended",
)
async def member_ejected(ground: Ground) -> None:
    fleet = await ground.fleet(3, cluster__progress_timeout="2s")
    cut, *others = fleet.nodes
    await ground.quiet()
    fleet.relay(cut).weather = Weather.STALLED
    for number, node in enumerate(others):
        wanted = fleet.file_of({0: cut}, (2 + number) * MIB)
        assert (await ground.stage.read(node, wanted)).complete
    await ground.fires()
    told = await ground.command(others[0], "cluster", "status")
    assert "n0" in told.said, told
    fleet.relay(cut).weather = Weather.FAIR
    await ground.over()


@path(
    "PenstockPeerLies",
    broken="one of three nodes turns a bit of all it sends",
    done="the one that the label `peer` names drained (`penstock cluster drain`) and stopped",
)
async def peer_lies(ground: Ground) -> None:
    fleet = await ground.fleet(3, **LIAR)
    liar, honest, _ = fleet.nodes
    file = fleet.file_of({0: liar}, 6 * MIB)
    await ground.quiet()
    assert not (await ground.stage.read(honest, file)).complete, "nothing wrong is delivered as whole"
    assert (await ground.stage.read(honest, file)).complete, "asked again, it is right"
    await ground.fires()
    assert (await ground.command(liar, "cluster", "drain")).returncode == 0
    await liar.stop()
    assert (await ground.stage.read(honest, fleet.file_of({0: liar}, 7 * MIB))).complete
    await ground.over()


@path(
    "PenstockFleetDisagrees",
    broken="one of two nodes given another database of the same Redis",
    done="`cluster.redis` made alike, restarted",
)
async def fleet_disagrees(ground: Ground) -> None:
    fleet = await ground.fleet(2)
    other = fleet.nodes[1]
    await ground.quiet()
    right = other.plan.setting("cluster.redis")
    await other.stop()
    other.configure(cluster__redis=f"{right}/1")
    await ground.stage.start(other)
    await ground.fires()
    await other.stop()
    other.configure(cluster__redis=right)
    await ground.stage.start(other)
    await ground.over()


@path(
    "PenstockClocksDiffer",
    broken="the clock of one of two nodes set 45 s ahead: they refuse one another, everything is served",
    done="the clock set right; no node restarted",
)
async def clocks_differ(ground: Ground) -> None:
    clock = ClockShift(ground.stage.folder / "clock")
    fleet = await ground.fleet(2)
    ahead = fleet.nodes[1]
    await ahead.stop()
    ahead.plan = replace(ahead.plan, wrapper=("env", *(f"{name}={text}" for name, text in clock.environment.items())))
    await ground.stage.start(ahead)
    await fleet.until_all_know_all()
    await ground.quiet()
    clock.set(45.0)
    await ground.fires()
    file = fleet.file_of({0: fleet.nodes[0]}, 3 * MIB)
    assert (await ground.stage.read(ahead, file)).complete
    clock.set(0.0)
    await ground.over()
