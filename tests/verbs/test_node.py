"""`penstock config reload`, `drain`, `completion`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.hub.content import MIB
from tests.kit.command import penstock

from .verbs import operated


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_reload_says_what_changed_and_what_waits(tmp_path: Path, workers: int) -> None:
    async with operated(tmp_path, workers=workers, freshness__ref_ttl="1h") as operator:
        assert "nothing changed" in (await operator.says("config", "reload")).stderr
        operator.node.configure(freshness__ref_ttl="1s", fetch__parallel=2)
        would = await operator.json("config", "reload", "--dry-run")
        assert [change["name"] for change in would["taken"]] == ["freshness.ref_ttl"]
        assert "fetch.parallel" in [change["name"] for change in would["waiting"]]
        done = await operator.says("config", "reload")
        assert "changed: freshness.ref_ttl: 3600.0 -> 1.0" in done.stderr
        assert "needs a restart: fetch.parallel" in done.stderr
        again = await operator.json("config", "reload")
        assert (again["taken"], again["waiting"]) == ([], would["waiting"])
        operator.node.plan.config_file.write_text("[fetch]\nparalel = 3\n")
        refused = await operator.says("config", "reload")
        assert refused.returncode == 1
        assert "did you mean fetch.parallel?" in refused.stderr


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_drained_node_ends_when_its_downloads_have(tmp_path: Path, workers: int) -> None:
    async with operated(tmp_path, workers=workers) as operator:
        file = operator.stage.blob("acme/tiny", "model.safetensors", 4 * MIB)
        gate = operator.stage.hub.hold("cdn", after=MIB)
        reading = operator.stage.reading(operator.node, file)
        await reading.until_received(MIB // 2)
        assert (await operator.says("drain")).returncode == 0
        assert operator.node.running
        gate.release()
        await operator.stage.ended(reading)
        assert reading.complete, reading
        assert await operator.node.wait() == 0
        gone = await operator.says("drain")
        assert gone.returncode == 4
        assert "no node answers" in gone.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    done = await penstock("completion", shell)
    assert done.returncode == 0
    assert "_PENSTOCK_COMPLETE" in done.stdout
    if shell == "bash":
        checked = await asyncio.create_subprocess_exec("bash", "-n", stdin=asyncio.subprocess.PIPE)
        await checked.communicate(done.stdout.encode())
        assert checked.returncode == 0


async def test_completion_knows_the_verbs() -> None:
    done = await penstock(_PENSTOCK_COMPLETE="bash_complete", COMP_WORDS="penstock wa", COMP_CWORD="1")
    assert done.stdout.split(",")[1].strip() == "warm"
