"""A TCP relay on loopback that does to connections what networks do: holds up, swallows, delays, resets, refuses."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

PIECE = 64 * 1024


class Weather(Enum):
    """What becomes of bytes."""

    FAIR = auto()
    STALLED = auto()
    """Nothing moves, nothing is closed; what is under way goes on when it is fair again."""
    SWALLOWED = auto()
    """What the client sends arrives; what the server answers is lost."""
    RESET = auto()
    """Connections are reset, new ones as soon as they are made."""


class Relay:
    """Listens on `port` and passes on to `target`, (host, port)."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0
        """Seconds by which each piece of an answer is late."""
        self.rate: float | None = None
        """Bytes per second of answers, on each connection; as fast as they come if None."""
        self.accepted = 0
        self._weather = Weather.FAIR
        self._fair = asyncio.Event()
        self._fair.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, target: tuple[str, int]) -> AsyncIterator[Relay]:
        relay = cls(target)
        relay._server = await asyncio.start_server(relay._accepted, "127.0.0.1", 0)
        relay.port = relay._server.sockets[0].getsockname()[1]
        try:
            yield relay
        finally:
            relay._server.close()
            relay.reset()
            relay._fair.set()

    @property
    def weather(self) -> Weather:
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        if weather is Weather.STALLED:
            self._fair.clear()
        else:
            self._fair.set()
        if weather is Weather.RESET:
            self.reset()

    def reset(self) -> None:
        """Reset every connection there is now."""
        for writer in list(self._writers):
            _reset(writer)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._weather is Weather.RESET:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)
            return
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            there = asyncio.create_task(self._pass_on(reader, far_writer, answers=False))
            back = asyncio.create_task(self._pass_on(far_reader, writer, answers=True))
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._fair.wait()
                if answers and self._weather is Weather.SWALLOWED:
                    continue
                if answers and self.delay:
                    await asyncio.sleep(self.delay)
                if answers and self.rate:
                    await asyncio.sleep(len(piece) / self.rate)
                writer.write(piece)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
