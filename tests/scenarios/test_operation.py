"""Signals, restarts and reloads of a node under load."""

from __future__ import annotations

import signal
import stat

import pytest

from bench.hub.content import MIB
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

workers = pytest.mark.parametrize("workers", [1, 2])


@workers
async def test_sigterm_lets_a_download_finish_and_takes_no_new_one(stage: Stage, workers: int) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 8 * MIB)
    node = await stage.node(workers=workers)
    gate = stage.hub.hold("cdn", after=MIB)
    reading = stage.reading(node, file)
    await reading.until_received(MIB // 2)
    node.signal(signal.SIGTERM)

    async def port_is_closed() -> bool:
        return not await node.accepts()

    await until(port_is_closed, "new connections are refused")
    assert node.running
    gate.release()
    await stage.ended(reading)
    assert reading.complete, reading
    assert await node.wait() == 0
    assert not (node.plan.folder / "ready.json").exists()


@workers
async def test_a_drain_ends_with_its_timeout(stage: Stage, workers: int) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 8 * MIB)
    node = await stage.node(workers=workers, server__drain_timeout="500ms")
    gate = stage.hub.hold("cdn", after=MIB)
    reading = stage.reading(node, file)
    await reading.until_received(MIB // 2)
    node.signal(signal.SIGTERM)
    assert await node.wait(within=8.0) == 0
    gate.release()
    await stage.ended(reading)
    assert reading.ending is Ending.BROKEN, "what was cut is seen to be cut"


@workers
async def test_sighup_reloads_and_cuts_nobody(stage: Stage, workers: int) -> None:
    """The access log is reopened, a changed `freshness.ref_ttl` holds from now on."""
    repo = stage.repo("acme/tiny")
    file = stage.blob("acme/tiny", "model.safetensors", 8 * MIB)
    node = await stage.node(workers=workers, freshness__ref_ttl="1h")
    before = await stage.ask(node, file.target("main"), method="HEAD")
    gate = stage.hub.hold("cdn", after=MIB)
    reading = stage.reading(node, file)
    await reading.until_received(MIB // 2)
    reloaded_at = (await node.metrics()).total("config_last_reload_success_timestamp_seconds")
    node.configure(freshness__ref_ttl="0s")
    node.signal(signal.SIGHUP)

    async def reloaded() -> bool:
        return (await node.metrics()).total("config_last_reload_success_timestamp_seconds") > reloaded_at

    await until(reloaded, "the configuration was read again")
    repo.put_text("config.json", "{}")
    repo.commit("Move main")

    async def sees_the_new_commit() -> bool:
        answer = await stage.ask(node, file.target("main"), method="HEAD")
        return answer.headers["X-Repo-Commit"] != before.headers["X-Repo-Commit"]

    await until(sees_the_new_commit, "the new TTL holds")
    gate.release()
    await stage.ended(reading)
    assert reading.complete, reading


@workers
async def test_a_broken_configuration_is_not_taken_over(stage: Stage, workers: int) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 2 * MIB)
    node = await stage.node(workers=workers)
    right = node.plan.config_file.read_text()
    for text, told, successful in (("[fetch]\nspam = 1\n", "reload refused", 0), (right, "nothing changed", 1)):
        node.plan.config_file.write_text(text)
        node.signal(signal.SIGHUP)
        await until(lambda told=told: told in node.said(), "it is told")
        assert (await node.metrics()).total("config_last_reload_successful") == successful
        assert (await stage.read(node, file)).complete


async def test_a_worker_that_dies_is_replaced_and_counted(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 2 * MIB)
    node = await stage.node(workers=2)
    before = set(node.workers)
    await stage.kill_worker(node)
    await until(lambda: len(node.workers) == 2 and set(node.workers) != before, "two workers again")
    await until(node.is_ready, "the node is ready")

    async def counted() -> bool:
        return (await node.metrics()).total("worker_restarts_total") == 1

    await until(counted, "the restart is counted")
    for _ in range(6):
        assert (await stage.read(node, file)).complete


async def test_a_restarted_node_serves_what_it_had(stage: Stage) -> None:
    """HUB-PROTOCOL §7.32; nothing of it is fetched again."""
    file = stage.blob("acme/tiny", "model.safetensors", 9 * MIB)
    node = await stage.node(workers=2, disks=2)
    stage.expect_origin_exact()
    assert (await stage.read(node, file)).complete
    await stage.stop(node)
    await stage.start(node)
    asked = stage.hub.counters.total_requests()
    assert (await stage.read(node, file)).complete
    assert stage.hub.counters.total_requests() == asked


async def test_a_client_resumes_at_a_restarted_mirror(stage: Stage) -> None:
    """HUB-PROTOCOL §7.10: killed midway, started again, `Range: bytes=20971520-` is answered with 206."""
    file = stage.blob("acme/tiny", "model.safetensors", 32 * MIB)
    node = await stage.node(fetch__parallel=1)
    gate = stage.hub.hold("cdn", skip=10)
    reading = stage.reading(node, file)
    await reading.until_received(20 * MIB)
    await stage.kill(node)
    gate.release()
    await stage.ended(reading)
    assert reading.ending is Ending.BROKEN, reading
    await stage.start(node)
    rest = await stage.read(node, file, span=(20 * MIB, file.size))
    assert rest.complete, rest
    assert rest.status == 206


async def test_what_a_node_shows_of_itself(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 2 * MIB)
    node = await stage.node(workers=2, disks=2)
    assert (await stage.read(node, file)).complete
    status = await node.status()
    assert status["pid"] == node.pid
    assert (await node.metrics()).total("workers", state="ready") == 2
    assert await node.is_ready()


async def test_one_client_may_not_have_all_connections(stage: Stage) -> None:
    file = stage.blob("acme/tiny", "model.safetensors", 2 * MIB)
    node = await stage.node(limits__connections_per_client=4)
    gate = stage.hub.hold("cdn")
    held = [stage.reading(node, file) for _ in range(4)]

    async def four_are_open() -> bool:
        return (await node.metrics()).total("connections") == 4

    await until(four_are_open, "four connections")
    fifth = await stage.read(node, file)
    assert fifth.ending is Ending.BROKEN, fifth
    gate.release()
    await stage.ended(*held)
    assert all(reading.complete for reading in held)


async def test_nobody_but_its_user_and_group_can_read_what_the_node_keeps(stage: Stage) -> None:
    files = [stage.blob("acme/tiny", name, size) for name, size in (("large.bin", 3 * MIB), ("small.bin", 1000))]
    node = await stage.node()
    for file in files:
        assert (await stage.read(node, file)).complete
    made = [path for folder in (*node.plan.disk_folders, node.plan.state) for path in folder.rglob("*")]
    assert any(path.name == "bytes" for path in made)
    assert [str(path) for path in made if path.stat().st_mode & stat.S_IRWXO] == []
