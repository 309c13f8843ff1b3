"""A body on its way: what it costs when the disk fails it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ON_A_FULL_DISK = """
import asyncio, os, resource, sys
from pathlib import Path
from proxy.core.sizes import CHUNK
from proxy.fetch.web.spool import Spool

async def fail(folder):
    spool = Spool(None, folder, 4 * CHUNK)
    await spool.write(bytes(CHUNK))
    try:
        await spool.write(b"more than memory holds")
    except OSError:
        return
    raise SystemExit("the disk took it")

async def main(folder):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    await fail(folder)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await fail(folder)
    print(len(os.listdir("/proc/self/fd")) - before, len(os.listdir(folder)))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_an_answer_that_the_disk_does_not_take_leaves_no_file_open(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout.split()) == (0, ["0", "0"]), ended.stderr
