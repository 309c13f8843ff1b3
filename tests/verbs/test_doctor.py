"""`penstock doctor` without an endpoint: this machine."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.kit.command import penstock

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
