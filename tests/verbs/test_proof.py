"""`penstock verify` and `scrub`, on real disks with rotten bytes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bench.hub.content import MIB
from tests.kit.files import Expected
from tests.kit.waiting import until

from .verbs import Operator, operated

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    async with operated(tmp_path_factory.mktemp("proof"), workers=2) as found:
        yield found


async def warmed(operator: Operator, repo_id: str, size: int = 4 * MIB) -> Expected:
    operator.stage.repo(repo_id).put_text("config.json", f'{{"of": "{repo_id}"}}')
    file = operator.stage.blob(repo_id, "model.safetensors", size)
    assert (await operator.says("warm", repo_id)).returncode == 0
    return file


def rot(path: Path, at: int) -> None:
    """Turn one bit of a file that a node may have open."""
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)


def bytes_of(operator: Operator, file: Expected) -> Path:
    (found,) = (
        path for disk in operator.node.plan.disk_folders for path in disk.glob(f"blobs/*/sha256-{file.sha256}/bytes")
    )
    return found


async def corruptions(operator: Operator, found_by: str) -> float:
    return (await operator.node.metrics()).total("corruptions_total", found_by=found_by)


async def test_what_is_right_is_found_right(operator: Operator) -> None:
    await warmed(operator, "acme/right")
    job = await operator.json("verify", "acme/right")
    assert job["result"] == {"right": 2, "not_whole": 0, "wrong": []}
    assert job["bytes"] == 4 * MIB + 20
    part = operator.stage.blob("acme/partial", "model.safetensors", 16 * MIB)
    await operator.stage.read(operator.node, part, span=(0, MIB))
    job = await operator.json("verify", "acme/partial@" + part.commit)
    assert job["result"]["not_whole"] == 1
    assert (await operator.says("verify", "acme/unheard-of")).returncode == 3


async def test_a_wrong_file_is_named_dropped_and_fetched_anew(operator: Operator) -> None:
    file = await warmed(operator, "acme/wrong")
    rot(bytes_of(operator, file), 2 * MIB + 5)
    before = await corruptions(operator, "verify")
    done = await operator.says("verify", "acme/wrong")
    assert done.returncode == 4
    assert "model.safetensors" in done.stderr
    assert "penstock warm acme/wrong" in done.stderr
    assert await corruptions(operator, "verify") == before + 1
    reading = await operator.stage.read(operator.node, file)
    assert reading.complete, reading
    assert (await operator.says("verify", "acme/wrong")).returncode == 0


async def test_a_scrub_drops_the_one_chunk_that_has_rotted(operator: Operator) -> None:
    file = await warmed(operator, "acme/rotten", 8 * MIB)
    assert (await operator.says("scrub")).returncode == 0
    rot(bytes_of(operator, file), 3 * MIB + 7)
    before = await corruptions(operator, "scrub")
    done = await operator.says("scrub")
    assert done.returncode == 4, done.said
    assert "1 chunks or small blobs had rotted" in done.stderr
    assert await corruptions(operator, "scrub") == before + 1
    files = (await operator.json("info", "acme/rotten"))["files"]
    assert max(one["here"] for one in files) == 7 * MIB
    fetched = (await operator.node.metrics()).total("fill_bytes_total")
    reading = await operator.stage.read(operator.node, file)
    assert reading.complete, reading
    assert (await operator.node.metrics()).total("fill_bytes_total") - fetched == MIB, "that chunk alone"
    assert (await operator.says("scrub")).returncode == 0


async def test_a_scrub_drops_a_small_blob_that_has_rotted(operator: Operator) -> None:
    await warmed(operator, "acme/small")
    (key,) = (one["key"] for one in (await operator.json("info", "acme/small"))["files"] if one["size"] < MIB)
    digits = key.removeprefix("sha256:")
    (path,) = (path for disk in operator.node.plan.disk_folders for path in disk.glob(f"small/*/{digits}"))
    rot(path, 3)
    assert (await operator.says("scrub")).returncode == 4
    assert not path.exists()
    small = operator.stage.file("acme/small", "config.json")
    reading = await operator.stage.read(operator.node, small)
    assert reading.complete, reading


async def test_a_scrub_reads_no_faster_than_it_may(operator: Operator) -> None:
    await warmed(operator, "acme/slow", 8 * MIB)
    job = await operator.json("scrub", "--rate", "1MiB", "--background")
    running = await operator.job_is(job["id"], "running")
    assert running["bytes"] < 8 * MIB
    assert (await operator.says("scrub")).returncode == 5
    assert (await operator.says("jobs", "cancel", job["id"])).returncode == 0
    await operator.job_is(job["id"], "cancelled")


async def test_a_node_scrubs_of_its_own_accord_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with operated(tmp_path, store__scrub_every="1s", store__scrub_rate="2MiB") as operator:
        await warmed(operator, "acme/kept", 8 * MIB)
        await operator.node.stop()
        marker = operator.node.plan.state / "jobs" / "scrubbed"
        began = marker.stat().st_mtime
        os.utime(marker, (began - 60, began - 60))
        await operator.node.start()

        async def scrubbing() -> dict[str, object] | None:
            jobs = (await operator.json("jobs"))["jobs"]
            return next((job for job in jobs if job["kind"] == "scrub" and job["bytes"] > MIB), None)

        job = await until(scrubbing, "a scrub is under way", 15.0)
        assert job is not None
        await operator.node.kill()
        await operator.node.start()
        ended = await operator.job_is(str(job["id"]), "done")
        assert ended["resumed"] == 1
        assert ended["result"] == {"wrong": 0}
        page = await operator.node.metrics()
        assert page.total("scrub_last_success_timestamp_seconds") > began
        assert page.total("scrub_bytes_total") <= 8 * MIB + 20, "what was read before is not read again"
