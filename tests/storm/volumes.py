"""File systems of their own, small enough to fill."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SIZE = "64m"


@asynccontextmanager
async def volumes(folder: Path, nodes: int, each: int = 2) -> AsyncIterator[list[Path]]:
    """`each` for one node; none without root, or for several nodes (their disks are folders)."""
    if os.geteuid() != 0 or nodes > 1:
        yield []
        return
    mounted: list[Path] = []
    try:
        for number in range(each):
            place = folder / f"volume-{number}"
            place.mkdir(parents=True)
            await _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "penstock-test", str(place))
            mounted.append(place)
        yield mounted
    finally:
        for place in mounted:
            await _run("umount", "--lazy", str(place))


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, f"{' '.join(words)}: {said.decode()}"
