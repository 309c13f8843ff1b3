"""`penstock doctor` without an endpoint: this machine."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from tests.kit.command import penstock
from tests.kit.nursery import ENTRY, ROOT

from .verbs import operated


def config_of(folder: Path, **more: str) -> str:
    sections = {"store": f'disks = ["{folder}/disk=1MB"]', "origin": 'url = "http://127.0.0.1:9"', **more}
    file = folder / "penstock.toml"
    file.write_text("\n".join(f"[{name}]\n{text}" for name, text in sections.items()))
    return str(file)


async def findings(*words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    done = await penstock("doctor", *words, "--json")
    found = json.loads(done.stdout)["findings"]
    return done.returncode, {one["about"]: (one["verdict"], one["fix"]) for one in found}


async def test_a_running_node_before_its_hub_is_found_good(tmp_path: Path) -> None:
    async with operated(tmp_path) as operator:
        config = str(operator.node.plan.config_file)
        code, found = await findings("--config", config, "--admin", str(operator.node.admin))
        assert {about: verdict for about, (verdict, _) in found.items() if verdict == "bad"} == {}
        assert code == 0
        assert found["origin"][0] == found["clock"][0] == "good"


async def test_what_is_bad_is_said_with_what_mends_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = config_of(tmp_path, server=f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:1"')
        code, found = await findings("--config", config)
    assert code == 4
    assert found["origin"] == ("bad", "curl -sSI http://127.0.0.1:9      (DNS, proxy, firewall)")
    assert "ss -ltnp" in found[f"port 127.0.0.1:{port}"][1]
    shown = await penstock("doctor", "--config", config)
    assert "mend it: curl" in shown.stderr
    assert not (tmp_path / "disk").exists(), "it looks only"


async def test_few_open_files_are_said_with_the_line_of_the_unit(tmp_path: Path) -> None:
    """Under a limit of its own, as a unit without LimitNOFILE has it."""
    words = ("-m", ENTRY, "doctor", "--json", "--config", config_of(tmp_path))
    limited = ("sh", "-c", 'ulimit -n 512 && exec "$@"', "sh", sys.executable, *words)
    child = await asyncio.create_subprocess_exec(*limited, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    (limits,) = [one for one in json.loads(said)["findings"] if one["about"] == "limits"]
    assert limits["verdict"] == "poor"
    assert limits["says"] == "at most 512 open files; 20000 connections may need 60000"
    assert limits["fix"] == "ulimit -n 60000, or LimitNOFILE=60000 in the unit"


async def test_every_finding_that_is_not_good_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 40)
    os.chmod(tmp_path / "token", 0o644)
    config = config_of(
        tmp_path,
        server='listen = "0.0.0.0:0"\nready_file = "/nowhere/ready.json"',
        admin=f'token_file = "{tmp_path}/token"',
        store='disks = ["/dev/shm/penstock-doctor=900PiB", "/proc/penstock"]\nfree_floor = "800PiB"',
        log='access = "/nowhere/access.log"',
    )
    done = await penstock("doctor", "--config", config, "--json")
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == 4
    wrong = [one for one in found if one["verdict"] != "good"]
    assert len(wrong) >= 7, found
    assert all(one["fix"] for one in wrong), [one for one in wrong if not one["fix"]]
    assert "mkdir -p /nowhere" in {one["fix"].removeprefix("run: ") for one in wrong}
    assert f"chmod 600 {tmp_path}/token" in {one["fix"].removeprefix("run: ") for one in wrong}
