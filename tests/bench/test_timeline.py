"""Faults happen at their seconds, to one process one after another, and are taken back."""

from __future__ import annotations

import asyncio
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
from bench.timeline import Timeline, Victims

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
