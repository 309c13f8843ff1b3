"""A client that checks every byte while it reads, and says exactly how the answer ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from .files import Expected
from .waiting import until

PIECE = 256 * 1024
DEADLINE = 60.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
_HOPS = 5


class Ending(Enum):
    """How an answer ended, as its client can tell."""

    COMPLETE = "complete"
    """200 or 206, as many bytes as promised."""
    REFUSED = "refused"
    """4xx or 5xx with its body complete."""
    BROKEN = "broken"
    """The connection ended before what was promised had come, or before any answer."""
    LEFT = "left"
    """The client went away, as it meant to."""
    HUNG = "hung"
    """Nothing ended it before the deadline."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to read. `span` is half-open and becomes a Range; `leave_after` goes away after so many bytes;
    `pause_after` stops reading there until `Reading.resume` is set. `deadline` is in seconds."""

    file: Expected
    revision: str | None = None
    span: tuple[int, int] | None = None
    token: str | None = None
    leave_after: int | None = None
    pause_after: int | None = None
    deadline: float = DEADLINE
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> tuple[int, int]:
        if self.span is None:
            return 0, self.file.size
        return self.span[0], min(self.span[1], self.file.size)


@dataclass(slots=True)
class Reading:
    """One answer, while it comes and after. Times are of the event loop, in seconds."""

    asked: Asked
    began: float
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    received: int = 0
    body_bytes: int = 0
    requests: int = 0
    first_byte: float | None = None
    ended: float | None = None
    ending: Ending | None = None
    problem: str = ""
    faults: list[str] = field(default_factory=list)
    """What a client may not be shown: wrong bytes, wrong lengths, wrong ranges, wrong validators."""
    resume: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def complete(self) -> bool:
        return self.ending is Ending.COMPLETE and not self.faults

    @property
    def has_ended(self) -> bool:
        return self.ended is not None

    @property
    def waited(self) -> float:
        """Seconds to the first byte of the body."""
        assert self.first_byte is not None, f"no byte came: {self}"
        return self.first_byte - self.began

    @property
    def seconds(self) -> float:
        assert self.ended is not None, "it has ended"
        return self.ended - self.began

    async def until_received(self, count: int, within: float = 20.0) -> None:
        """Returns when `count` bytes are here. Raises NotInTime, also when the answer ends before."""
        await until(lambda: self.received >= count or self.ending, f"{count} bytes of {self.asked.file.path}", within)
        assert self.received >= count, f"it ended before: {self}"

    def __str__(self) -> str:
        span = "whole" if self.asked.span is None else "{}-{}".format(*self.asked.span)
        ending = self.ending.value if self.ending else "under way"
        problem = f" ({self.problem})" if self.problem else ""
        return f"{self.asked.file.path} {span}: {self.status} {ending}{problem}, {self.received} bytes {self.faults}"


class Reader:
    """Reads from one node, each request on a connection of its own unless `shared`."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url

    async def read(self, asked: Asked, reading: Reading | None = None) -> Reading:
        """Read to whatever end it comes to; never raises for what the answer does."""
        reading = reading if reading is not None else self.begin(asked)
        try:
            async with asyncio.timeout(asked.deadline):
                await self._exchange(reading)
        except TimeoutError:
            reading.ending, reading.problem = Ending.HUNG, f"after {asked.deadline:g} s"
        except (aiohttp.ClientError, OSError) as error:
            reading.ending, reading.problem = Ending.BROKEN, f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            reading.ending = Ending.LEFT
            raise
        finally:
            reading.ended = _now()
        return reading

    def begin(self, asked: Asked) -> Reading:
        return Reading(asked, _now())

    async def _exchange(self, reading: Reading) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False, connector=connector) as session:
            target = reading.asked.file.target(reading.asked.revision)
            for _ in range(_HOPS):
                reading.requests += 1
                address = URL(self._base + target, encoded=True)
                async with session.get(address, headers=_fields(reading.asked), allow_redirects=False) as answer:
                    reading.status, reading.headers = answer.status, answer.headers
                    if answer.status not in (301, 302, 303, 307, 308):
                        await _receive(reading, answer)
                        return
                    reading.body_bytes += len(await answer.read())
                    target = _followed(reading, answer.headers.get("Location", ""))
            reading.ending, reading.problem = Ending.BROKEN, "redirected in circles"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _fields(asked: Asked) -> dict[str, str]:
    fields = {"Accept-Encoding": "identity", "User-Agent": "verifying-reader/1.0", **asked.headers}
    if asked.token is not None:
        fields["Authorization"] = f"Bearer {asked.token}"
    if asked.span is not None:
        fields["Range"] = f"bytes={asked.span[0]}-{asked.span[1] - 1}"
    return fields


def _followed(reading: Reading, location: str) -> str:
    parts = urlsplit(location)
    if parts.scheme or parts.netloc or not location.startswith("/"):
        reading.faults.append(f"redirected away from the mirror, to {location!r}")
    return location


async def _receive(reading: Reading, answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        reading.body_bytes += len(await answer.read())
        reading.ending = Ending.REFUSED
        return
    start, stop = _announced(reading, answer)
    async for piece in answer.content.iter_chunked(PIECE):
        reading.first_byte = reading.first_byte or _now()
        _check(reading, start, stop, piece)
        if _has_enough(reading):
            reading.ending = Ending.LEFT
            answer.close()
            return
        await _pause(reading)
    if reading.received != stop - start:
        reading.faults.append(f"a clean end after {reading.received} of {stop - start} bytes")
    reading.ending = Ending.COMPLETE


def _announced(reading: Reading, answer: aiohttp.ClientResponse) -> tuple[int, int]:
    """The span of the file that the head promises; what is wrong with the head is noted."""
    file, faults = reading.asked.file, reading.faults
    start, stop = reading.asked.wanted if answer.status == 206 else (0, file.size)
    if (length := answer.headers.get("Content-Length")) != str(stop - start):
        faults.append(f"Content-Length {length}, not {stop - start}")
    if (etag := answer.headers.get("ETag")) != f'"{file.etag}"':
        faults.append(f'ETag {etag}, not "{file.etag}"')
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        faults.append(f"Content-Encoding {answer.headers['Content-Encoding']}")
    match answer.status:
        case 200 if reading.asked.span is not None:
            faults.append("200 to a range request")
        case 200 if "Content-Range" in answer.headers:
            faults.append("Content-Range on a 200")
        case 206:
            _check_range(reading, answer.headers.get("Content-Range", ""), start, stop)
        case 200:
            pass
        case other:
            faults.append(f"status {other}")
    return start, stop


def _check_range(reading: Reading, field_text: str, start: int, stop: int) -> None:
    found = _CONTENT_RANGE.fullmatch(field_text)
    wanted = (start, stop - 1, reading.asked.file.size)
    if found is None or tuple(map(int, found.groups())) != wanted:
        reading.faults.append(f"Content-Range {field_text!r}, not {wanted}")


def _check(reading: Reading, start: int, stop: int, piece: bytes) -> None:
    at = start + reading.received
    wrong = reading.asked.file.differs(at, piece)
    if wrong is not None and not reading.faults:
        reading.faults.append(f"byte {wrong} is wrong")
    if at + len(piece) > stop:
        reading.faults.append(f"more than the {stop - start} bytes asked for")
    reading.received += len(piece)
    reading.body_bytes += len(piece)


def _has_enough(reading: Reading) -> bool:
    leave = reading.asked.leave_after
    return leave is not None and reading.received >= leave


async def _pause(reading: Reading) -> None:
    pause = reading.asked.pause_after
    if pause is not None and reading.received >= pause:
        await reading.resume.wait()
