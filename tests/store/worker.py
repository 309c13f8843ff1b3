"""A worker process of a store, driven line by line: `python -m tests.store.worker DISK WORKER`.

Each line of standard input is a command; its answer is one line. What it holds ends with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from proxy.core.errors import PenstockError
from proxy.core.spans import Span
from proxy.store.blobfile import OpenBlob
from proxy.store.blobstore import BlobStore
from tests.store.stores import content_of, fill, open_store, record_of, section


class Session:
    """What one worker holds: blobs by seed, and the claim it is filling."""

    def __init__(self, store: BlobStore, stack: contextlib.AsyncExitStack) -> None:
        self._store = store
        self._stack = stack
        self._blobs: dict[int, tuple[OpenBlob, bytes]] = {}

    async def perform(self, verb: str, *arguments: int) -> Any:
        return await getattr(self, f"on_{verb}")(*arguments)

    async def on_open(self, seed: int, size: int) -> bool:
        content = content_of(size, seed)
        blob = await self._stack.enter_async_context(self._store.open_blob(record_of(content)))
        self._blobs[seed] = blob, content
        return blob.sealed

    async def on_claim(self, seed: int, start: int, stop: int) -> bool:
        claim = self._blobs[seed][0].try_claim(Span(start, stop))
        if claim is None:
            return False
        self._writer = await self._stack.enter_async_context(claim)
        return True

    async def on_write(self, seed: int, start: int, stop: int) -> None:
        await self._writer.write([self._blobs[seed][1][start:stop]])

    async def on_readable(self, seed: int, offset: int) -> int:
        blob, content = self._blobs[seed]
        await blob.checked(Span(offset, len(content)))
        extent = blob.readable(offset, len(content))
        if extent is None:
            return 0
        assert os.pread(extent.fd, extent.length, offset) == content[offset : offset + extent.length], "wrong bytes"
        return extent.length

    async def on_missing(self, seed: int) -> int:
        blob, content = self._blobs[seed]
        return sum(map(len, blob.missing(Span(0, len(content)))))

    async def on_seal(self, seed: int) -> bool:
        return await self._blobs[seed][0].seal()

    async def on_sealed(self, seed: int) -> bool:
        return self._blobs[seed][0].sealed

    async def on_drop(self, seed: int) -> None:
        await self._blobs[seed][0].drop("test")

    async def on_dropped(self, seed: int) -> bool:
        return self._blobs[seed][0].dropped

    async def on_churn(self, first: int, count: int, size: int) -> int:
        """Fill `count` blobs, one after another, racing whoever does the same; say each on its own line."""
        for seed in range(first, first + count):
            if await self._churn_one(seed, size):
                print(json.dumps({"sealed": seed}), flush=True)
        return count

    async def _churn_one(self, seed: int, size: int) -> bool:
        content = content_of(size, seed)
        async with self._store.open_blob(record_of(content)) as blob:
            while not blob.sealed:
                for gap in blob.missing(Span(0, size)):
                    with contextlib.suppress(AssertionError):  # another fills part of it
                        await fill(blob, content, gap, step=200_000)
                await blob.checked(Span(0, size))
                if not blob.missing(Span(0, size)):
                    await blob.seal()
                await asyncio.sleep(0.001)
            return True


async def main(folders: list[Path], worker: int, size: int) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue(maxsize=100)

    def feed() -> None:
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        os._exit(0)

    async with open_store(section(*folders, size=size), worker=worker) as store, contextlib.AsyncExitStack() as stack:
        session = Session(store, stack)
        print(json.dumps("ready"), flush=True)
        loop.run_in_executor(None, feed)
        while (line := await lines.get()) != "quit\n":
            try:
                answer: Any = await session.perform(*_parsed(line))
            except PenstockError as error:
                answer = {"error": type(error).__name__}
            print(json.dumps({"answer": answer}), flush=True)
    os._exit(0)


def _parsed(line: str) -> list[Any]:
    verb, *arguments = line.split()
    return [verb, *map(int, arguments)]


if __name__ == "__main__":
    asyncio.run(main([Path(name) for name in sys.argv[1].split(",")], int(sys.argv[2]), int(sys.argv[3])))
