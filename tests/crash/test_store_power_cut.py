"""The power goes while a store writes: nothing wrong is served, nothing sealed is lost, the books are right again."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.kit.tools import needed

ROOT = Path(__file__).parents[2]


async def test_power_cuts_cost_only_what_was_not_durable(tmp_path: Path) -> None:
    """More cuts by hand: `unshare --mount python -m tests.crash.power_cut FOLDER 60`."""
    assert os.geteuid() == 0, "needs root, for a mount namespace of its own and a file system on a loop device"
    needed("mkfs.ext4")
    process = await asyncio.create_subprocess_exec(
        needed("unshare"), "--mount", sys.executable, "-m", "tests.crash.power_cut", str(tmp_path), "3",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    found = json.loads(said)
    kept = {what: found.pop(what) for what in ("sealed", "small", "chunks")}
    assert all(kept.values())
    assert found == {}, complaints.decode()
