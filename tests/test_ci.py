"""What `.ci/run` leaves behind: nothing, whatever its steps start."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.kit.procfs import is_running
from tests.kit.waiting import until

WITHIN = Path(__file__).parents[1] / ".ci" / "within"
STUBBORN = """
import os, signal, subprocess, sys, time
if len(sys.argv) > 2:
    child = subprocess.Popen([sys.executable, __file__, sys.argv[1]], start_new_session=True)
    if sys.argv[2] != "stay":
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.01)
        sys.exit(int(sys.argv[2]))
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""
"""Starts itself again in a session of its own, which ignores SIGTERM and writes down its pid; then stays, or leaves."""


@pytest.fixture
def stubborn(tmp_path: Path) -> Path:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    return script


async def started(*words: str, grace: str = "0.2") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*words, env=os.environ | {"WITHIN_GRACE": grace})


async def pid_in(file: Path) -> int:
    await until(file.exists, "the grandchild runs", within=30.0)
    return int(file.read_text())


async def test_a_step_out_of_time_leaves_no_session_behind(stubborn: Path, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    # the time must suffice to start two interpreters on a busy machine: what comes later is no grandchild yet
    step = await started(str(WITHIN), "5s", sys.executable, str(stubborn), str(place), "stay")
    grandchild = await pid_in(place)
    assert await asyncio.wait_for(step.wait(), 30) == 124
    assert not is_running(grandchild)


@pytest.mark.parametrize("code", [0, 3])
async def test_a_step_that_ends_gives_its_code_and_leaves_nothing(stubborn: Path, tmp_path: Path, code: int) -> None:
    place = tmp_path / "pid"
    step = await started(str(WITHIN), "60", sys.executable, str(stubborn), str(place), str(code))
    assert await asyncio.wait_for(step.wait(), 30) == code
    assert not is_running(await pid_in(place))


async def test_a_step_ends_with_whoever_started_it(stubborn: Path, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    words = f"'{WITHIN}' 60 '{sys.executable}' '{stubborn}' '{place}' stay; true"
    shell = await started("bash", "-c", words)
    grandchild = await pid_in(place)
    shell.kill()
    await shell.wait()
    await until(lambda: not is_running(grandchild), "the grandchild ends", within=30.0)


async def test_a_step_that_is_told_to_stop_stops(stubborn: Path, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    step = await started(str(WITHIN), "60", sys.executable, str(stubborn), str(place), "stay")
    grandchild = await pid_in(place)
    step.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(step.wait(), 30) == 128 + signal.SIGTERM
    assert not is_running(grandchild)
