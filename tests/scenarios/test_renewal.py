"""An upgrade of a node under load: SIGUSR2, and nobody notices."""

from __future__ import annotations

import asyncio
import signal

import aiohttp

from bench.hub.content import MIB
from tests.kit.node import Node
from tests.kit.procfs import is_running
from tests.kit.stage import Stage
from tests.kit.waiting import until


async def test_downloads_go_on_through_an_upgrade_and_nobody_is_refused(stage: Stage) -> None:
    """One download waits for the origin, one for its client; others come and go, on new and on kept connections."""
    cold = stage.blob("acme/tiny", "cold.safetensors", 16 * MIB)
    warm = stage.blob("acme/tiny", "warm.safetensors", 12 * MIB)
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", "{}")
    repo.commit("Add config.json")
    small = stage.file("acme/tiny", "config.json")
    stage.wants(small)
    targets = (warm.target(), small.target())
    node = await stage.node(workers=2, origin__read_timeout="60s", fetch__progress_timeout="60s")
    await stage.read(node, warm)
    stage.expect_origin_exact()
    gate = stage.hub.hold("cdn", after=MIB)
    filling = stage.reading(node, cold)
    slow = stage.reading(node, warm, pause_after=MIB)
    await filling.until_received(MIB // 2)
    await slow.until_received(MIB)
    ended = asyncio.Event()
    comers = [stage.tasks.start(_come_and_go(stage, node, targets, ended), "comer") for _ in range(3)]
    before = await stage.renew(node)
    assert node.running
    assert any(is_running(pid) for pid in before), "somebody still serves the two"
    late = stage.reading(node, cold)
    await late.until_received(MIB // 2)
    gate.release()
    slow.resume.set()
    await stage.ended(filling, slow, late)
    ended.set()
    assert all([await comer > 0 for comer in comers])
    assert filling.complete
    assert slow.complete
    assert late.complete, "new workers join what the old ones download"
    await until(lambda: not any(is_running(pid) for pid in before), "the old workers end with their downloads")
    assert "cut short" not in node.said()


async def test_a_node_of_a_fleet_keeps_its_slices_through_an_upgrade(stage: Stage) -> None:
    """To the others nothing happens: the node is the same, and never says that it leaves."""
    (stage.folder / "cluster.secret").write_text("s" * 64)
    node = await stage.node(
        server__supervised=True,
        cluster__node="n0",
        cluster__advertise="http://127.0.0.1:9",
        cluster__secret_file=str(stage.folder / "cluster.secret"),
        cluster__peers=["http://127.0.0.2:9"],
    )
    boot = _ourselves(await node.status())["boot"]
    before = await stage.renew(node)
    await until(lambda: not any(is_running(pid) for pid in before), "the old workers end")
    assert _ourselves(await node.status()) | {"share": 0} == {
        **_ourselves(await node.status()),
        "boot": boot,
        "state": "up",
        "share": 0,
    }


async def test_an_upgrade_that_meets_its_sigterm_stops(stage: Stage) -> None:
    node = await stage.node(workers=2)
    node.signal(signal.SIGUSR2)
    node.signal(signal.SIGTERM)
    assert await node.wait() == 0


def _ourselves(status: dict) -> dict:  # type: ignore[type-arg]
    cluster = status["workers"][0]["node"]["cluster"]
    return next(member for member in cluster["members"] if member["name"] == cluster["node"])


async def _come_and_go(stage: Stage, node: Node, targets: tuple[str, str], ended: asyncio.Event) -> int:
    """Ask for ranges of one file and for another, small one until told to end, every other time on the connection
    kept from before; how many were answered.

    A client that keeps a connection opens another when its server has closed the kept one before it asked."""
    stage.others_ask()
    answered = 0
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        while not ended.is_set():
            fields = {"Range": f"bytes={answered % 8 * MIB}-{answered % 8 * MIB + 99}"}
            if answered % 2:
                fields["Connection"] = "close"
            async with session.get(f"{node.url}{targets[0]}", headers=fields) as answer:
                assert answer.status == 206, answer.status
                assert len(await answer.read()) == 100
            async with session.get(f"{node.url}{targets[1]}") as answer:
                assert await answer.read() == b"{}"
            answered += 1
    return answered
