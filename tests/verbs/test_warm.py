"""`penstock warm` and `penstock jobs`, on real nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bench.hub.content import MIB
from tests.kit.waiting import until

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    async with operated(tmp_path_factory.mktemp("warm"), workers=2) as found:
        yield found


def arrange(operator: Operator, repo_id: str) -> None:
    repo = operator.stage.repo(repo_id)
    repo.put_text("config.json", '{"a": 1}')
    repo.put_text("README.md", "# A model")
    repo.put_blob("model.safetensors", 3 * MIB)
    repo.put_blob("onnx/model.onnx", 2 * MIB)
    repo.commit("Add files")


async def test_what_was_warmed_is_served_by_a_hub_that_is_away(operator: Operator, tmp_path: Path) -> None:
    stage = operator.stage
    arrange(operator, "acme/warmed")
    done = await operator.says("warm", "acme/warmed")
    assert done.returncode == 0, done.said
    assert "4 of 4 files, 5.0 MiB" in done.stderr
    await stage.hub.off()
    try:
        outcomes = await stage.client("2.4.0", operator.node, [{"op": "snapshot", "repo_id": "acme/warmed"}])
        assert stage.got_all(stage.world.repo("acme/warmed"), outcomes[0]) >= {"config.json", "model.safetensors"}
    finally:
        await stage.hub.on()


async def test_warming_again_asks_the_origin_for_no_byte(operator: Operator) -> None:
    arrange(operator, "acme/twice")
    assert (await operator.says("warm", "acme/twice")).returncode == 0
    before = (await operator.node.metrics()).total("upstream_bytes_total")
    done = await operator.json("warm", "acme/twice")
    assert (done["files"], done["bytes"]) == (4, done["bytes_total"])
    files = (await operator.node.metrics()).total("fill_bytes_total")
    assert (await operator.json("warm", "acme/twice"))["state"] == "done"
    assert (await operator.node.metrics()).total("fill_bytes_total") == files
    assert (await operator.node.metrics()).total("upstream_bytes_total") - before < MIB // 4, "listings at most"


async def test_only_what_is_chosen_is_fetched(operator: Operator) -> None:
    arrange(operator, "acme/chosen")
    words = ("warm", "acme/chosen", "--include", "*.json", "--include", "onnx/", "--exclude", "*.md")
    job = await operator.json(*words)
    assert (job["files"], job["bytes_total"]) == (2, 2 * MIB + 8)
    outcomes = await operator.says("warm", "acme/chosen", "--include", "nothing-like-this")
    assert outcomes.returncode == 1
    assert "no file of acme/chosen at main is chosen" in outcomes.stderr


async def test_what_the_origin_refuses_fails_and_says_why(operator: Operator) -> None:
    done = await operator.says("warm", "acme/nowhere")
    assert done.returncode == 1
    assert "the origin refuses acme/nowhere at main" in done.stderr
    assert (await operator.says("warm", "acme/../nowhere")).returncode == 2
    assert (await operator.says("jobs", "follow", "warm-0000")).returncode == 3


async def test_a_job_under_a_cap_takes_its_time_and_can_be_cancelled(operator: Operator) -> None:
    operator.stage.blob("acme/slow", "model.safetensors", 64 * MIB)
    job = await operator.json("warm", "acme/slow", "--rate", "8MiB", "--background")
    await operator.job_is(job["id"], "running")
    done = await operator.says("jobs", "cancel", job["id"])
    assert done.returncode == 0, done.said
    cancelled = await operator.job_is(job["id"], "cancelled")
    assert cancelled["bytes"] < 64 * MIB
    assert (await operator.says("jobs", "cancel", job["id"])).returncode == 5
    listed = await operator.says("jobs")
    assert job["id"] in listed.stdout
    assert "cancelled" in listed.stdout


@pytest.mark.parametrize("whole_node", [False, True])
async def test_a_job_goes_on_after_a_kill(tmp_path: Path, whole_node: bool) -> None:
    async with operated(tmp_path, workers=2) as operator:
        file = operator.stage.blob("acme/large", "model.safetensors", 12 * MIB)
        gate = operator.stage.hub.hold("cdn", after=MIB)
        job = await operator.json("warm", "acme/large", "--background")

        async def half_way() -> bool:
            return bool((await operator.job(job["id"]))["bytes"])

        await until(half_way, "some of it is here")
        if whole_node:
            await operator.node.kill()
            gate.release()
            await operator.node.start()
        else:
            for pid in operator.node.workers:
                await operator.node.kill_worker(pid)
            gate.release()
        ended = await operator.job_is(job["id"], "done")
        assert ended["resumed"] == 1
        assert ended["bytes"] == file.size
        reading = await operator.stage.read(operator.node, file)
        assert reading.complete, reading


async def test_a_job_that_goes_on_asks_the_origin_for_the_rest_only(tmp_path: Path) -> None:
    async with operated(tmp_path, fetch__span="2MiB") as operator:
        file = operator.stage.blob("acme/large", "model.safetensors", 16 * MIB)
        hub = operator.stage.hub
        gate = hub.hold("cdn", after=MIB, skip=4)
        job = await operator.json("warm", "acme/large", "--background")

        async def what_was_sent_is_here() -> int:
            sent = hub.counters.total_bytes("cdn")
            filled = (await operator.node.metrics()).total("fill_bytes_total")
            followed = (await operator.job(job["id"]))["bytes"]
            return sent if filled >= sent and followed >= 8 * MIB else 0

        sent = await until(what_was_sent_is_here, "what the Hub has sent is here")
        await operator.node.kill()
        asked = len(hub.log)
        gate.release()  # what waits there goes to nobody
        await operator.node.start()
        await operator.job_is(job["id"], "done")
        rest = sum(request.bytes_sent for request in hub.log[asked:] if request.kind == "cdn")
        assert 0 < rest <= file.size - 8 * MIB, "what the job had followed is not asked for again"
        assert rest <= file.size - sent + 4 * MIB, "of four downloads a chunk each may not have been written"
        reading = await operator.stage.read(operator.node, file)
        assert reading.complete, reading
