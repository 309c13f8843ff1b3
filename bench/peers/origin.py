"""The one origin of all: the synthetic Hub with a few files, and where each server is to be asked for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench.node import Process
from bench.node import running as process_running

from .servers import Server, Upstream

REPO = "acme/side-by-side"
SMALL_SIZE = 700
HERD_SIZE = 128 << 20
_PATIENCE = aiohttp.ClientTimeout(total=60)


@dataclass(frozen=True, slots=True)
class File:
    """A file of the origin: on the Hub, and where its CDN has it (a small one is the Hub's own)."""

    path: str
    cdn_path: str | None
    size: int
    sha256: str | None

    def path_at(self, server: Server | None) -> str:
        """What to ask `server` for; None is the origin itself."""
        is_mirror = server is not None and server.is_mirror
        return self.path if is_mirror or self.cdn_path is None else self.cdn_path


@dataclass(frozen=True, slots=True)
class Origin:
    """A running Hub."""

    url: str
    upstream: Upstream
    session: aiohttp.ClientSession

    async def file(self, name: str) -> File:
        """Where a file is. A new address of the CDN each time, as on the Hub."""
        path = f"/{REPO}/resolve/{await self._commit()}/{name}"
        async with self.session.head(self.url + path, allow_redirects=False) as answer:
            fields = answer.headers
            size = int(fields.get("X-Linked-Size", fields.get("Content-Length", "0")))
            if answer.status == 200:
                return File(path, None, size, None)
            where = urlsplit(fields["Location"])
            return File(path, f"{where.path}?{where.query}", size, fields["X-Linked-Etag"].strip('"'))

    async def _commit(self) -> str:
        async with self.session.get(f"{self.url}/api/models/{REPO}/revision/main") as answer:
            return str((await answer.json())["sha"])

    async def sent(self) -> tuple[int, int]:
        """Requests and body bytes since the start."""
        async with self.session.get(f"{self.url}/__hub/counters") as answer:
            counted = await answer.json()
        return sum(counted["requests"].values()), sum(counted["bytes"].values())

    async def set(self, **wanted: Any) -> None:
        """Turn a dial (`bandwidth` in bytes a second) or close its ports (`off`, seconds)."""
        async with self.session.post(f"{self.url}/__hub/faults", data=json.dumps(wanted)) as answer:
            answer.raise_for_status()


@contextlib.asynccontextmanager
async def serving(folder: Path, size: int, core: int | None) -> AsyncIterator[Origin]:
    """The Hub with `whole` and `tail` of `size` bytes, `herd`, `lone` and `small`."""
    files = {"whole": size, "tail": size, "herd": HERD_SIZE, "lone": HERD_SIZE, "small": SMALL_SIZE}
    models = [word for name, count in files.items() for word in ("--model", f"{REPO}:{_NAMES[name]}={count}")]
    ready = folder / "hub.json"
    command = [sys.executable, "-m", "bench.hub", "--listen", "127.0.0.1:0", "--cdn", "127.0.0.1:0", "--no-xet"]
    process = Process(
        [*command, *models, "--ready-file", str(ready)],
        ready,
        folder / "hub.log",
        None if core is None else frozenset({core}),
    )
    async with process_running(process), _site() as site, aiohttp.ClientSession(timeout=_PATIENCE) as session:
        hub, cdn = (urlsplit(str(process.facts[name])).netloc for name in ("url", "cdn_url"))
        yield Origin(str(process.facts["url"]), Upstream(hub, cdn, site), session)


@contextlib.asynccontextmanager
async def _site() -> AsyncIterator[str]:
    """HOST:PORT of a server of our own that answers whatever is asked alike: small, and good for a day."""
    head = (
        f'Content-Type: application/json\r\nContent-Length: {SMALL_SIZE}\r\nCache-Control: max-age=86400\r\nETag: "1"'
    )
    said = f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + bytes(SMALL_SIZE)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(said)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


_NAMES = {
    "whole": "whole.safetensors",
    "tail": "tail.safetensors",
    "herd": "herd.safetensors",
    "lone": "lone.safetensors",
    "small": "config.json",
}


async def files(origin: Origin) -> dict[str, File]:
    """By name; `generic` is the one of the generic origin."""
    generic = File("/o/site/small.json", "/site/small.json", SMALL_SIZE, None)
    return {"generic": generic, **{name: await origin.file(path) for name, path in _NAMES.items()}}
