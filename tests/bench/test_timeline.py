"""Faults happen at their seconds, to one process one after another, and are taken back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import aiohttp
import pytest_asyncio

from bench.faults import Dials, NodeKill, NodePause
from bench.meter import Meter
from bench.node import Node, Process, all_running
from bench.record import Mark
from bench.timeline import Timeline, Victims, fill
from bench.volume import mounted
from proxy.core.sizes import KIB, MIB

READY = "echo {} > %s; exec sleep 60"
NOBODY = "http://127.0.0.1:1"


@pytest_asyncio.fixture
async def meter() -> AsyncIterator[Meter]:
    async with aiohttp.ClientSession() as session:
        yield Meter(session, [NOBODY], NOBODY)


def sleeper(folder: Path, script: str) -> Process:
    ready = folder / "sleeper.json"
    return Process(["sh", "-c", script % ready], ready, folder / "log", None)


def timeline(meter: Meter, process: Process, *faults: NodeKill | NodePause) -> Timeline:
    """Of a node that is any process: it is killed and started like one."""
    victims = Victims(meter, (cast("Node", process),), None, (), Dials(None, None, 0.0))
    return Timeline(faults, victims, lambda mark: None)


def names(marks: list[Mark]) -> list[str]:
    return [mark.name for mark in marks]


async def test_a_process_is_hurt_again_when_it_is_back(tmp_path: Path, meter: Meter) -> None:
    process = sleeper(tmp_path, READY)
    async with all_running([process]):
        first = process.pids[0]
        found = timeline(
            meter,
            process,
            NodeKill(do="node-kill", at=0.0, seconds=0.1),
            NodePause(do="node-pause", at=0.01, seconds=0.05),
        )
        await found.run(time.monotonic())
        assert process.is_running
        assert process.pids[0] != first
    assert names(found.marks) == ["node-kill", "node-kill over", "node-pause", "node-pause over"]
    assert found.failed is None
    assert not meter.is_mirror_known, "what a killed mirror had counted is gone"


async def test_a_mirror_that_does_not_come_back_is_told_with_what_it_said(tmp_path: Path, meter: Meter) -> None:
    process = sleeper(
        tmp_path, f"test -e {tmp_path}/once && echo no disk >&2 && exit 3; touch {tmp_path}/once; {READY}"
    )
    async with all_running([process]):
        found = timeline(meter, process, NodeKill(do="node-kill", at=0.0, seconds=0.0))
        await found.run(time.monotonic())
    assert found.failed is not None
    assert "ended with 3" in found.failed
    assert "no disk" in found.failed


async def test_when_the_load_is_over_nothing_begins_and_what_is_under_way_ends(tmp_path: Path, meter: Meter) -> None:
    process = sleeper(tmp_path, READY)
    async with all_running([process]):
        found = timeline(
            meter,
            process,
            NodePause(do="node-pause", at=0.0, seconds=60.0),
            NodeKill(do="node-kill", at=60.0),
        )
        asyncio.get_running_loop().call_later(0.05, found.end)
        await found.run(time.monotonic())
    assert names(found.marks) == ["node-pause", "node-pause over"]


async def test_a_full_disk_is_full_but_for_what_shall_be_free(tmp_path: Path) -> None:
    async with mounted(tmp_path, 8 * MIB) as volume:
        assert volume is not None
        (volume / "others").write_bytes(bytes(MIB))
        for free in (MIB, 0):
            with (volume / f"ballast-{free}").open("wb") as ballast:
                fill(ballast.fileno(), free)
            state = os.statvfs(volume)
            assert free <= state.f_bavail * state.f_frsize < free + 64 * KIB
    assert not (volume / "others").exists()
