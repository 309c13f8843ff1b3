"""Power cuts: `unshare --mount python -m tests.crash.power_cut FOLDER CUTS` (as root) prints what was found, as JSON.

A store writes to a file system on a loop device, which is shut down at a random moment (FS_IOC_SHUTDOWN, without its
journal being flushed), mounted again, and looked at in another boot.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fcntl
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

from proxy.core.blob import BlobKey
from proxy.core.errors import PenstockError
from proxy.core.sizes import CHUNK, MIB
from proxy.core.spans import Span
from proxy.store.blobstore import BlobStore
from tests.store.stores import THREE_CHUNKS, content_of, fill, open_store, read, record_of, section, until

_SHUTDOWN = 0x8004587D
_WITHOUT_JOURNAL = 2
SIZE = 1200 * MIB
"""More than many cuts fill: what is evicted would look like what was lost."""


def large(seed: int) -> bytes:
    return content_of((THREE_CHUNKS, 5 * MIB)[seed % 2], seed)


def small(seed: int) -> tuple[BlobKey, bytes]:
    content = content_of(5000 + seed, seed)
    return BlobKey.sha256(hashlib.sha256(content).hexdigest()), content


async def write(folder: Path, seed: int) -> None:
    """Fill blobs until killed, saying which are sealed."""
    async with open_store(section(folder, size=SIZE, durable_every=2 * MIB), boot=os.urandom(16)) as store:
        print("ready", flush=True)
        store.tasks.start(asyncio.to_thread(_write_back_maps, folder), "write back maps")
        while True:
            await asyncio.gather(*(_write_one(store, seed + number) for number in range(3)))
            seed += 3


def _write_back_maps(folder: Path) -> None:
    """As the kernel may at any time, bring the maps to the disk before the bytes they tell of."""
    while True:
        for path in folder.glob("blobs/*/*/map"):
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY)
                os.fdatasync(fd)
                os.close(fd)
        time.sleep(0.01)


async def _write_one(store: BlobStore, seed: int) -> None:
    try:
        if seed % 3 == 0:
            if await store.put_small(*small(seed)):
                print("small", seed, flush=True)
            return
        content = large(seed)
        async with store.open_blob(record_of(content)) as blob:
            await fill(blob, content, step=20_000)
            if seed % 4 and await blob.seal():
                print("sealed", seed, flush=True)
    except PenstockError:
        await asyncio.sleep(0.05)  # the disk is gone


async def look(folder: Path, first: int, sealed: list[int]) -> collections.Counter[str]:
    """What is kept of the blobs from `first` on; those of `sealed` must be whole."""
    found: collections.Counter[str] = collections.Counter()
    async with open_store(section(folder, size=SIZE), boot=os.urandom(16)) as store:
        for seed in range(first, first + 30):
            if seed % 3 == 0:
                found += await _look_at_small(store, seed)
            else:
                found += await _look_at_large(store, seed, must_be_sealed=seed in sealed)
        await until(lambda: store.rack.accounts()[0].index.totals().rebuilt and not store.blobs)
        for finding in await store.fsck(full=True):
            found[f"fsck: {finding.fault.value}"] += 1
            print(finding, file=sys.stderr)
    return found


async def _look_at_small(store: BlobStore, seed: int) -> collections.Counter[str]:
    key, content = small(seed)
    async with store.open_small(key) as extent:
        if extent is None:
            return collections.Counter()
        right = os.pread(extent.fd, extent.length, 0) == content
        return collections.Counter(small=1, wrong=int(not right))


async def _look_at_large(store: BlobStore, seed: int, *, must_be_sealed: bool) -> collections.Counter[str]:
    content, found = large(seed), collections.Counter[str]()
    async with store.open_blob(record_of(content)) as blob:
        states = [([part.map.state(chunk) for chunk in range(blob.chunks)], part.map.sealed) for part in blob.parts]
        await blob.checked(Span(0, len(content)))
        found["sealed"] += blob.sealed
        if must_be_sealed and not blob.sealed:
            found["lost"] += 1
            print("lost", seed, states, file=sys.stderr)
        found["wrong"] += blob.sealed and read(blob, len(content)) != content
        for start in range(0, len(content), CHUNK):
            stop = min(start + CHUNK, len(content))
            if not blob.missing(Span(start, stop)):
                extent = blob.readable(start, stop)
                found["chunks"] += 1
                found["wrong"] += extent is None or os.pread(extent.fd, stop - start, start) != content[start:stop]
    return found


def cut_once(image: Path, mounted: Path, number: int, moment: float) -> collections.Counter[str]:
    first = 1000 * number
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    command = [sys.executable, "-m", "tests.crash.power_cut", "write", str(mounted), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(moment)
        folder = os.open(mounted, os.O_RDONLY)
        fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _WITHOUT_JOURNAL))
        os.close(folder)
        writer.kill()
        said = [line.split() for line in writer.stdout]
    subprocess.run(["umount", mounted], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    found = asyncio.run(look(mounted, first, [int(seed) for what, seed in said if what == "sealed"]))
    subprocess.run(["umount", mounted], check=True)
    return found


def main(folder: Path, cuts: int) -> None:
    image, mounted = folder / "image", folder / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(1500 * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    chance, found = random.Random(7), collections.Counter[str]()
    for number in range(cuts):
        found += cut_once(image, mounted, number, chance.uniform(0.1, 1.0))
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        asyncio.run(write(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]))
