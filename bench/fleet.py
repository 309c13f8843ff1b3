"""Several mirrors that are one cache: where they listen, how they find one another, and the Redis between them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Final

from .node import NotStarted, Process

_ANSWERS_WITHIN: Final = 1.0
_REDIS_PORT: Final = 6379
_NODE_PORT: Final = 8080


def _loopback(last: int) -> str:
    """An address that is this process' alone, so that ports need not be drawn: loopback has 16 million."""
    own = os.getpid()
    return f"127.{216 + own % 32}.{own // 32 % 250}.{last}"


def places(count: int) -> list[str]:
    """Where the nodes listen, as host:port. They must be known before the first one starts."""
    return [f"{_loopback(number + 1)}:{_NODE_PORT}" for number in range(count)]


def membership(number: int, listen: Sequence[str], secret_file: Path, redis: str | None) -> dict[str, object]:
    """The settings that make node `number` one of a fleet. `redis` is its URL; None: they are told of one another."""
    urls = [f"http://{place}" for place in listen]
    own: dict[str, object] = {
        "cluster.node": f"n{number}",
        "cluster.advertise": urls[number],
        "cluster.secret_file": str(secret_file),
    }
    if redis is not None:
        return {**own, "cluster.redis": redis}
    return {**own, "cluster.peers": [url for url in urls if url != urls[number]]}


def write_secret(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_text(token_hex(32))


class Redis(Process):
    """A real server that keeps nothing on disk. Started again, it is there at the same address, empty."""

    def __init__(self, folder: Path, cores: frozenset[int] | None) -> None:
        """Raises NotStarted when it is not installed."""
        program = shutil.which("redis-server")
        if program is None:
            raise NotStarted("redis-server is not installed; install it, or run without: --set proxy.redis=false")
        self._host = _loopback(250)
        command = [program, "--bind", self._host, "--port", str(_REDIS_PORT), "--dir", str(folder)]
        command += ["--save", "", "--appendonly", "no"]
        super().__init__(command, folder / "redis.ready", folder / "redis.log", cores)

    @property
    def url(self) -> str:
        return f"redis://{self._host}:{_REDIS_PORT}"

    async def _serves(self) -> bool:
        """Whether it answers."""
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                reader, writer = await asyncio.open_connection(self._host, _REDIS_PORT)
                try:
                    writer.write(b"PING\r\n")
                    return await reader.readline() == b"+PONG\r\n"
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
