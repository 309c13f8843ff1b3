"""Ctrl-C: it ends the command, and what goes on without it is named."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from bench.hub.content import MIB
from tests.kit.nursery import ENTRY, ROOT, Child, born
from tests.kit.waiting import until

from .verbs import Operator, operated


async def begun(operator: Operator, folder: Path, *words: str) -> tuple[Child, Path, Path]:
    """`penstock WORDS` under way, and where it puts its output and its talk."""
    out, talk = folder / "out", folder / "talk"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    asked = ("-m", ENTRY, *words, "--admin", str(operator.node.admin))
    with out.open("wb") as output, talk.open("wb") as errors:
        child = await born(asked, folder=ROOT, environment=environment, output=output, errors=errors)
    return child, out, talk


async def test_a_job_goes_on_when_nobody_watches_it_any_more(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        operator.stage.blob("acme/large", "model.safetensors", 8 * MIB)
        gate = operator.stage.hub.hold("cdn", after=MIB)
        child, out, talk = await begun(operator, tmp_path, "warm", "acme/large")
        try:
            await until(lambda: "is under way" in talk.read_text(), "the job is watched", 15.0)
            child.send_signal(signal.SIGINT)
            async with asyncio.timeout(15):
                assert await child.wait() == 1
        finally:
            child.kill()
        job = talk.read_text().split()[0]
        said = talk.read_text()
        assert f"{job} is no longer watched, and goes on" in said
        assert f"penstock jobs follow {job}" in said
        assert f"penstock jobs cancel {job}" in said
        assert ("Traceback" in said, "Aborted" in said, out.read_text()) == (False, False, "")
        assert (await operator.job(job))["state"] == "running"
        gate.release()
        done = await operator.says("jobs", "follow", job)
        assert done.returncode == 0, done.said
        assert f"{job} is done: 1 of 1 files, 8.0 MiB" in done.stderr


async def test_top_ends_with_ctrl_c_and_that_is_no_failure(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        child, out, talk = await begun(operator, tmp_path, "top", "--json", "--every", "0.1")
        try:
            await until(lambda: out.read_text().count('"rates"') >= 2, "it has looked twice", 15.0)
            child.send_signal(signal.SIGINT)
            async with asyncio.timeout(15):
                assert await child.wait() == 0
        finally:
            child.kill()
        assert talk.read_text() == ""
