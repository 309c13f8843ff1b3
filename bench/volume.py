"""A small file system of the mirror's own, which can be full without anybody else being hurt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path


class CannotMount(Exception):
    """There is no such file system to be had."""


@contextlib.asynccontextmanager
async def mounted(folder: Path, size: int | None) -> AsyncIterator[Path | None]:
    """A tmpfs of `size` bytes below `folder`, gone in the end; None if none is asked for. Raises CannotMount."""
    if size is None:
        yield None
        return
    volume = folder / "volume"
    volume.mkdir()
    await _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "penstock-bench", str(volume))
    try:
        yield volume
    finally:
        await _run("umount", "--lazy", str(volume))


async def _run(*command: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    except OSError as error:
        raise CannotMount(f"{command[0]}: {error.strerror}") from error
    _, said = await process.communicate()
    if process.returncode:
        raise CannotMount(f"{' '.join(command)}: {said.decode().strip()} (it needs root; else: --without disk-full)")
