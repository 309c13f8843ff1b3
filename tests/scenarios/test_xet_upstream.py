"""Files that the Hub gives by Xet alone (HUB-PROTOCOL §7.8): the mirror fetches them with the real hf_xet, from the
synthetic Hub's CAS, and everybody else has them from the mirror as ever."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from bench.hub import faults as f
from bench.hub.cdn import PlainLimit
from bench.hub.content import MIB
from bench.hub.messages import Plane
from tests.kit import canaries
from tests.kit.clients import CURRENT
from tests.kit.files import Expected
from tests.kit.node import Node
from tests.kit.procfs import thread_names
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.waiting import until

REPO = "acme/huge"
BIG = "model.safetensors"
SIZE = 24 * MIB + 12_345
LIMIT = 10 * MIB


def furnished(stage: Stage, size: int = SIZE, *, status: int = 403, **traits: Any) -> Expected:
    """A file above the Hub's plain limit, and a small one below."""
    stage.hub.plain_limit = PlainLimit(LIMIT, status)
    stage.blob(REPO, "small.bin", 3 * MIB)
    return stage.blob(REPO, BIG, size, **traits)


def download(path: str = BIG) -> dict[str, Any]:
    return {"op": "download", "repo_id": REPO, "filename": path}


def by_xet(stage: Stage) -> int:
    """Bytes of files that the Hub sent by Xet."""
    return stage.hub.counters.total_bytes("xorb")


def came_once(stage: Stage, size: int = SIZE) -> bool:
    """Each byte by Xet and once: what is more are the headers of chunks, and chunks cut by the ends of a span."""
    assert size <= by_xet(stage) < 1.01 * size + 128 * 1024
    return True


async def test_a_file_above_the_hub_s_plain_limit_comes_by_xet(stage: Stage) -> None:
    """§7.8: whole, cold and warm, by a client that speaks plain HTTP; what is below the limit comes as ever."""
    file = furnished(stage)
    node = await stage.node(xet__advertise_above="off")
    for _ in ("cold", "warm"):
        whole, small = await stage.client(CURRENT, node, [download(), download("small.bin")])
        stage.got(file, whole)
        stage.got(stage.file(REPO, "small.bin"), small)
    assert came_once(stage)
    page = await node.metrics()
    assert page.total("upstream_bytes_total", host="xet") == SIZE
    assert page.total("fill_bytes_total") == SIZE + 3 * MIB


@pytest.mark.parametrize("status", [400, 413])
async def test_the_hub_may_refuse_in_other_words(stage: Stage, status: int) -> None:
    file = furnished(stage, LIMIT + 1, status=status)
    node = await stage.node()
    read = await stage.read(node, file)
    assert read.complete, read
    assert came_once(stage, file.size)


async def test_a_client_of_the_facade_is_served_what_came_by_xet(stage: Stage) -> None:
    """§7.8: Xet on both sides, the Hub's CAS for the mirror alone."""
    file = furnished(stage)
    node = await stage.node(xet__advertise_above="1MB")
    client = stage.fresh_client(CURRENT, node)
    client.constants = {"MAX_HTTP_DOWNLOAD_SIZE": 1_000_000}
    (outcome,) = await stage.client(CURRENT, node, [download()], client=client)
    stage.got(file, outcome)
    assert came_once(stage)


async def test_a_range_at_the_end_of_51_gb_costs_that_range(stage: Stage) -> None:
    size = 51_000_000_000
    file = furnished(stage, size, sha256="5a" * 32)
    node = await stage.node(disk_size="1GiB")
    tail = await stage.read(node, file, span=(size - 300_000, size))
    assert tail.complete, tail
    assert by_xet(stage) < 3 * MIB, "whole chunks of the store, and not more"


async def test_sixteen_cold_readers_cost_the_bytes_once(stage: Stage) -> None:
    file = furnished(stage)
    node = await stage.node(workers=2)
    readings = [stage.reading(node, file) for _ in range(16)]
    await stage.ended(*readings)
    assert all(reading.complete for reading in readings)
    assert came_once(stage)


async def test_a_refusal_is_remembered_for_the_file(stage: Stage) -> None:
    file = furnished(stage)
    node = await stage.node()
    for start in (0, 8 * MIB, 16 * MIB):
        read = await stage.read(node, file, span=(start, start + 1000))
        assert read.complete, read
        asked = stage.hub.counters.total_requests("cdn")
        assert asked == 2, "an address, and another one to be sure"


@pytest.mark.parametrize(
    ("fault", "kind", "times"),
    [
        (f.Fail(500), "xorb", 5),
        (f.Fail(503), "cas", 5),
        (f.Cut(after=700_000), "xorb", 4),
        (f.Reset(), "xorb", 3),
        (f.Fail(403), "xorb", 2),
        (f.FlipByte(at=1), "xorb", 1),
    ],
    ids=["store fails", "reconstruction fails", "cut", "reset", "address expired", "header garbled"],
)
async def test_a_store_that_stumbles_costs_the_reader_nothing(
    stage: Stage, fault: f.Act, kind: str, times: int
) -> None:
    file = furnished(stage)
    node = await stage.node()
    armed = stage.hub.faults.add(fault, kinds=(kind,), times=times)
    read = await stage.read(node, file)
    assert read.complete, read
    assert armed.seen > times


async def test_a_store_that_is_down_ends_in_a_clear_error(stage: Stage) -> None:
    """An answer that says try again; the next try, when the store is back, is good. No descriptor is left (O4)."""
    file = furnished(stage)
    node = await stage.node(origin__retries=1)
    await stage.hub_off(Plane.CAS)
    for _ in range(2):
        away = await stage.read(node, file)
        assert (away.status, away.ending) == (429, Ending.REFUSED)
    await stage.hub.on()
    back = await stage.read(node, file)
    assert back.complete, back


async def test_an_access_token_that_ends_midway_is_renewed(stage: Stage) -> None:
    file = furnished(stage)
    node = await stage.node(fetch__parallel=1)
    gate = stage.hub.hold("xorb", after=0, skip=3, times=1)
    reading = stage.reading(node, file)
    await gate.reached()
    stage.hub.cas.expire_tokens()
    gate.release()
    await stage.ended(reading)
    assert reading.complete, reading
    assert 401 in {record.status for record in stage.hub.log if record.plane is Plane.CAS}
    assert stage.hub.counters.total_requests("xet-read-token") == 2


async def test_wrong_bytes_never_end_cleanly(stage: Stage) -> None:
    """hf_xet passes a flipped byte (HUB-PROTOCOL §4.1); the file's own digest does not."""
    file = furnished(stage)
    stage.allow_origin(SIZE)  # what was wrong is fetched anew
    node = await stage.node()
    flipped = stage.hub.faults.add(f.FlipByte(at=5_000_000), kinds=("xorb",))
    wrong = await stage.read(node, file)
    assert (wrong.status, wrong.ending) == (200, Ending.BROKEN)
    assert wrong.received < SIZE
    stage.forgive(wrong)
    stage.hub.faults.remove(flipped)
    right = await stage.read(node, file)
    assert right.complete, right
    assert (await node.metrics()).total("corruptions_total", found_by="seal") == 1


async def test_no_token_of_a_caller_goes_to_the_xet_store(stage: Stage) -> None:
    """§7.18, of a private file: the store sees the token it gave out for this, its xorbs see none, no log sees any."""
    alice = stage.user("alice")
    file = furnished(stage)
    repo = stage.repo(REPO)
    repo.private = True
    repo.grant("alice")
    node = await stage.node()
    assert (await stage.read(node, file)).status == 401
    read = await stage.read(node, file, token=alice)
    assert read.complete, read
    shown = {
        record.kind: record.headers.get("authorization", "none")[:11]
        for record in stage.hub.log
        if record.kind in ("cas", "xorb", "xet-read-token")
    }
    assert shown == {"cas": "Bearer xet_", "xorb": "none", "xet-read-token": f"Bearer {canaries.CANARY}"[:11]}
    assert not in_files(node.plan.folder, b"xet_models:")


async def test_the_mirror_s_own_token_asks_for_access_on_behalf_of_everybody(stage: Stage) -> None:
    """`origin.token_file`: the bytes of what anybody may read; turned away, the caller's own standing does."""
    file = furnished(stage)
    own = stage.user("mirror")
    token = stage.folder / "token"
    token.write_text(own)
    node = await stage.node(origin__token_file=str(token))
    read = await stage.read(node, file, span=(0, 1000))
    assert read.complete, read
    stage.world.drop_token(own)
    later = await stage.read(node, file, span=(20 * MIB, 20 * MIB + 1000))
    assert later.complete, later
    asked = [record.headers.get("authorization") for record in stage.hub.log if record.kind == "xet-read-token"]
    assert asked == [f"Bearer {own}", f"Bearer {own}", None]


@pytest.mark.parametrize("kind", ["xorb", "cas"])
async def test_a_reader_that_leaves_takes_the_threads_of_hf_xet_along(stage: Stage, kind: str) -> None:
    """Whatever they wait for, and before a timeout: the store is silent."""
    file = furnished(stage)
    node = await stage.node(origin__read_timeout="60s")
    stage.allow_origin(stage.bounds.parallel * stage.bounds.span)  # what the store holds back when it is let go
    gate = stage.hub.hold(kind, after=0)
    _, leaver = await asyncio.open_connection(node.data.host, node.data.port)
    leaver.write(f"GET /{REPO}/resolve/{stage.repo(REPO).head()}/{BIG} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await gate.reached()
    assert threads_of_hf_xet(node)
    leaver.close()
    await until(lambda: not threads_of_hf_xet(node), "the threads of hf_xet have ended", within=20.0)
    stage.hub.faults.clear()
    gate.release()
    again = await stage.read(node, file, span=(0, 1000))
    assert again.complete, again
    stage.others_ask()


async def test_a_node_stops_in_the_middle_of_a_transfer_by_xet(stage: Stage) -> None:
    file = furnished(stage)
    node = await stage.node(server__drain_timeout="500ms")
    gate = stage.hub.hold("xorb", after=1000)
    reading = stage.reading(node, file)
    await gate.reached()
    node.signal(signal.SIGTERM)
    assert await node.wait() == 0
    await stage.ended(reading)
    assert reading.ending in (Ending.BROKEN, Ending.REFUSED)
    stage.hub.faults.clear()
    gate.release()
    await stage.stop(node)
    await stage.start(node)
    again = await stage.read(node, file)
    assert again.complete, again


async def test_a_killed_worker_s_transfer_goes_on_in_another(stage: Stage) -> None:
    file = furnished(stage)
    node = await stage.node(workers=2)
    gate = stage.hub.hold("xorb", skip=4)
    reading = stage.reading(node, file)
    await gate.reached()
    await reading.until_received(1)  # before that, a client asks the other worker by itself
    (filling,) = {pid for pid in node.workers if threads_of_hf_xet(node, pid)}
    await stage.kill_worker(node, filling)
    gate.release()
    await stage.ended(reading)
    assert reading.ending is Ending.BROKEN
    again = await stage.read(node, file)
    assert again.complete, again
    assert by_xet(stage) < 1.6 * SIZE, "what had come was kept"


def threads_of_hf_xet(node: Node, pid: int | None = None) -> list[str]:
    """In one process of the node, or in all."""
    names = [name for one in ([pid] if pid else node.workers) for name in thread_names(one)]
    return [name for name in names if name.startswith("hf-xet")]


def in_files(folder: Path, text: bytes) -> list[Path]:
    """Files of a node, but for the blobs themselves, that hold `text`."""
    files = (path for path in folder.rglob("*") if path.is_file() and "blobs" not in path.parts)
    return [path for path in files if text in path.read_bytes()]
