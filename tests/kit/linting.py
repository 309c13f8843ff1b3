"""Answers as they came over the wire, and what httplint and REDbot say of them (`make clients`)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clients import ended_within, interpreter

REDBOT = "redbot"
"""The environment that has both."""
_DRIVER = Path(__file__).parent / "drivers" / "lint.py"
DEADLINE = 60.0
"""Seconds for all answers and addresses."""
PATIENCE = 20.0
"""Seconds for one answer."""
LONGEST = 16 * 1024 * 1024
"""Bytes of an answer."""
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and all bytes that came for it, until the other side closed too."""

    name: str
    method: str
    target: str
    fields: Mapping[str, str]
    answer: bytes
    at: float
    """When it had come, in seconds of the wall clock."""

    @property
    def head(self) -> str:
        return self.answer.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.head.split(" ", 2)[1])


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What a linter noted: `level` is good, info, warning or bad; `about` the field or part of the message."""

    level: str
    note: str
    about: str
    text: str

    @property
    def is_complaint(self) -> bool:
        return self.level in ("warning", "bad")


@dataclass(frozen=True, slots=True)
class Examination:
    """What REDbot found at an address, and what it saw work there."""

    findings: tuple[Finding, ...]
    supports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """By the name of the exchange, and by address."""

    exchanges: Mapping[str, tuple[Finding, ...]]
    addresses: Mapping[str, Examination]


async def exchanged(
    address: tuple[str, int], name: str, target: str, method: str = "GET", fields: Mapping[str, str] | None = None
) -> Exchange:
    """One request on a connection of its own, which the client half closes after the answer: what is said beyond the
    answer's end is part of it. Raises TimeoutError."""
    sent = {"Host": f"{address[0]}:{address[1]}", "User-Agent": "linting", **(fields or {})}
    lines = [f"{method} {target} HTTP/1.1", *(f"{field}: {text}" for field, text in sent.items())]
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*address, limit=LONGEST)
        try:
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
            answer = await _answer(reader, method)
            with contextlib.suppress(ConnectionError):  # of a refusal the other side has closed by now
                writer.write_eof()
                answer += await reader.read()
        finally:
            writer.close()
    return Exchange(name, method, target, sent, answer, time.time())


async def _answer(reader: asyncio.StreamReader, method: str) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if method == "HEAD" or head.split(b" ", 2)[1] in (b"204", b"304"):
        return head
    length = _LENGTH.search(head)
    if length is None:
        return head + await reader.readuntil(b"0\r\n\r\n")
    return head + await reader.readexactly(int(length[1]))


async def findings(exchanges: Iterable[Exchange] = (), addresses: Sequence[str] = ()) -> Findings:
    """All that both have to say. Raises AssertionError when they are not installed, or fail."""
    job = {
        "exchanges": [
            {
                "name": one.name,
                "method": one.method,
                "target": one.target,
                "fields": dict(one.fields),
                "at": one.at,
                "answer": base64.b64encode(one.answer).decode(),
            }
            for one in exchanges
        ],
        "addresses": list(addresses),
    }
    process = await asyncio.create_subprocess_exec(
        str(interpreter(REDBOT)),
        str(_DRIVER),
        env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await ended_within(process, DEADLINE, json.dumps(job).encode())
    assert process.returncode == 0, f"the linters ended with {process.returncode}:\n{said.decode()}"
    told = json.loads(out)
    return Findings(
        {name: _findings(found) for name, found in told["exchanges"].items()},
        {
            address: Examination(_findings(found["findings"]), tuple(found["supports"]))
            for address, found in told["addresses"].items()
        },
    )


def _findings(found: list[list[Any]]) -> tuple[Finding, ...]:
    return tuple(sorted(Finding(*one) for one in found))
