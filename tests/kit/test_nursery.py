"""A forked child is what a process of its own would be."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from .nursery import ROOT, Child, born
from .procfs import is_running
from .waiting import until

ABOUT = """
import json, os, sys
told = {"cwd": os.getcwd(), "environment": dict(os.environ), "session": os.getsid(0),
        "input": os.readlink("/proc/self/fd/0"), "open": sorted(int(name) for name in os.listdir("/proc/self/fd"))}
print(json.dumps(told))
sys.stderr.write("and an error\\n")
"""
ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "MARK": "of the test"}


async def run(folder: Path, *words: str) -> tuple[Child, Path]:
    said = folder / "said"
    with said.open("wb") as output:
        child = await born(("-m", *words), folder=folder, environment=ENVIRONMENT, output=output)
    return child, said


async def code(folder: Path, text: str) -> tuple[Child, Path]:
    return await run(folder, "timeit", "-n", "1", "-r", "1", text)


async def test_a_child_has_what_it_was_given_and_nothing_else(tmp_path: Path) -> None:
    child, said = await code(tmp_path, ABOUT)
    assert await child.wait() == 0
    about, error = said.read_text().splitlines()[:2]
    told = json.loads(about)
    assert told["cwd"] == str(tmp_path)
    assert told["environment"] == ENVIRONMENT
    assert (told["session"], told["input"]) == (child.pid, "/dev/null")
    assert told["open"] == [0, 1, 2, 3], "3 is the folder that it lists"
    assert error == "and an error"


@pytest.mark.parametrize(("words", "ends_with"), [(["version"], 0), (["no-such-verb"], 2)])
async def test_the_command_ends_as_ever(tmp_path: Path, words: list[str], ends_with: int) -> None:
    child, said = await run(tmp_path, "proxy.cli.main", *words)
    assert await child.wait() == ends_with, said.read_text()


async def test_a_child_that_is_killed_ends_with_the_signal(tmp_path: Path) -> None:
    child, _ = await code(tmp_path, "import time; time.sleep(60)")
    assert child.returncode is None
    child.kill()
    assert await child.wait() == -signal.SIGKILL == child.returncode
    child.kill()  # once more harms nobody


async def test_children_live_side_by_side(tmp_path: Path) -> None:
    lasting, _ = await code(tmp_path, "import time; time.sleep(60)")
    passing, _ = await code(tmp_path, "pass")
    assert await passing.wait() == 0
    assert lasting.returncode is None
    lasting.terminate()
    assert await lasting.wait() == -signal.SIGTERM


async def test_children_end_with_those_who_wanted_them(tmp_path: Path) -> None:
    """A run of tests that is killed leaves no node behind."""
    run = """
import asyncio, pathlib, sys
from tests.kit.nursery import born
async def main():
    with open("said", "wb") as output:
        words = ("-m", "timeit", "-n", "1", "-r", "1", "import time; time.sleep(60)")
        child = await born(words, folder=pathlib.Path("."), environment={}, output=output)
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", run),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    assert is_running(child)
    process.kill()
    await process.wait()
    await until(lambda: not is_running(child), "the child is gone")
