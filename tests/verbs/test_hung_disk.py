"""A disk that does not answer, before a start: what looks at it comes to an end, and names it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from proxy.service.looking import LOOK_WITHIN
from tests.kit.command import penstock
from tests.kit.hungdisk import hung_disk


def config_of(file: Path, *disks: Path) -> str:
    listed = ", ".join(f'"{disk}=64MiB"' for disk in disks)
    file.write_text(
        f'[store]\ndisks = [{listed}]\nfree_floor = "1MiB"\n[origin]\nurl = "http://127.0.0.1:9"\n'
        '[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
    )
    return str(file)


async def test_check_serve_and_doctor_end_and_name_the_disk_that_hangs(tmp_path: Path) -> None:
    async with hung_disk(tmp_path / "hung") as hung:
        alone = config_of(tmp_path / "alone.toml", hung)
        second = config_of(tmp_path / "second.toml", tmp_path / "good", hung)
        clock = asyncio.get_running_loop().time
        began = clock()
        wrong, fine, refused, told = await asyncio.gather(
            penstock("check", "--config", alone),
            penstock("check", "--config", second, "--json"),
            penstock("serve", "--config", alone),
            penstock("doctor", "--config", second, "--json"),
        )
        assert clock() - began < LOOK_WITHIN + 20, "one wait, and not one for each look"
    says = f"disk {hung} does not answer within 5 s"
    assert (wrong.returncode, refused.returncode) == (1, 1)
    assert says in wrong.stderr
    assert says in refused.stderr
    assert "the state folder is on it" in refused.stderr
    assert fine.returncode == 0, "the node goes on without it"
    assert [hint for hint in json.loads(fine.stdout)["hints"] if hint.startswith(says)]
    findings = [one for one in json.loads(told.stdout)["findings"] if one["about"] == f"disk {hung}"]
    assert [(one["verdict"], "dmesg" in one["fix"]) for one in findings] == [("bad", True)]
    assert "within 5 s" in findings[0]["says"]
