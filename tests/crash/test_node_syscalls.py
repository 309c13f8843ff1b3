"""A whole node killed at the n-th call of each kind that changes a disk (RELIABILITY §5.3, row 16)."""

from __future__ import annotations

import pytest

from bench.hub.content import MIB
from tests.kit.reader import Ending
from tests.kit.stage import Stage
from tests.kit.tools import needed
from tests.kit.waiting import until

POINTS = [
    *(("pwritev2", when) for when in (1, 2, 3)),
    *(("pwrite64", when) for when in (2, 9, 15)),
    *(("fdatasync", when) for when in (1, 2, 4)),
    *(("fallocate", when) for when in (1,)),
    *(("ftruncate", when) for when in (1,)),
    *(("rename", when) for when in (1,)),
    *(("unlink", when) for when in (1, 2)),
]
"""Bytes of blobs are written by pwritev2, maps and databases by pwrite64. Each thread counts its own calls."""


@pytest.mark.parametrize(("call", "when"), POINTS, ids=str)
async def test_a_node_killed_at_a_system_call_serves_right_bytes_afterwards(stage: Stage, call: str, when: int) -> None:
    repo = stage.repo("acme/tiny")
    repo.put_text("config.json", b"{}" * 700)
    large = stage.blob("acme/tiny", "model.safetensors", 6 * MIB + 5)
    small = stage.file("acme/tiny", "config.json")
    other = stage.blob("acme/tiny", "other.safetensors", 3 * MIB)
    strace = (needed("strace"), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}")
    wrapper = (*strace, "-e", f"inject={call}:signal=SIGKILL:when={when}")
    stage.allow_origin(None)  # what the killed run had in flight, or had and not yet said so
    node = await stage.node(disks=2, disk_size="8MiB", wrapper=wrapper, may_die=True, store__durable_every="2MiB")
    for file in (small, large, other, large):
        if not node.running:
            break
        reading = await stage.read(node, file)
        assert reading.ending in (Ending.COMPLETE, Ending.BROKEN), reading
    await until(lambda: not node.running, f"{call} number {when}, in some thread")
    await stage.kill(node)
    node.unwrap()
    await stage.start(node)
    for file in (large, small, other):
        reading = await stage.read(node, file)
        assert reading.complete, reading
