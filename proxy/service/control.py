"""What a supervisor and its workers tell each other: one JSON object a line over a socket pair.

The pair also ties their lives together: its end means that the other is gone. A supervisor may be of a later program
than a worker (`renewal`): what it tells such a one, Leave, Drain, Hurry, HandOver, Purge and Ask, and what it hears
must not change its form.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, assert_never

import orjson

from proxy.config.schema import Config
from proxy.core.blob import BlobKey

LINE_LIMIT: Final = 4 << 20
"""Longest message in bytes; a configuration of hundreds of disks is far below."""


@dataclass(frozen=True, slots=True)
class Start:
    """The first order: serve `config`. `secret` is the node's own, for pseudonyms that workers share."""

    config: Config
    secret: bytes


@dataclass(frozen=True, slots=True)
class Reload:
    """Reopen the access log and take over the reloadable knobs of `config`."""

    config: Config


@dataclass(frozen=True, slots=True)
class Leave:
    """Take no more connections and end when those that are open do: another process has the place."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop politely."""


@dataclass(frozen=True, slots=True)
class Hurry:
    """Stop now."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Own no slice of the fleet any more, and go on."""


@dataclass(frozen=True, slots=True)
class Purge:
    """Drop a blob from all disks of the node, and of its fleet. One worker is told."""

    key: BlobKey


@dataclass(frozen=True, slots=True)
class Ask:
    """Send an Answer with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Call:
    """Carry out an operation of `operations.table`, and send an Answer with this number: its reply as a document."""

    number: int
    verb: str
    arguments: dict[str, Any]


Order = Start | Reload | Leave | Drain | Hurry | HandOver | Purge | Ask | Call


@dataclass(frozen=True, slots=True)
class Health:
    """Why the worker should get no traffic; empty: it serves."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The status that Ask wanted, or the reply to a Call."""

    number: int
    status: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker could not start and ends; `why` is for people."""

    why: str


Report = Health | Answer | Failed


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What the other says, until it is gone. One that was killed may leave half a line, and a reset instead of an end
    when it had not read all that we told it: both are its end."""
    with suppress(ConnectionError):
        while (line := await reader.readline()).endswith(b"\n"):
            yield line


def written(message: Order | Report) -> bytes:
    """The line of `message`."""
    return orjson.dumps(_document(message), default=str, option=orjson.OPT_APPEND_NEWLINE)


def read_order(line: bytes) -> Order:
    """The order that `written` wrote. Raises ValueError."""
    match orjson.loads(line):
        case {"order": "start", "config": config, "secret": str(secret)}:
            return Start(Config.model_validate(config), bytes.fromhex(secret))
        case {"order": "reload", "config": config}:
            return Reload(Config.model_validate(config))
        case {"order": "leave"}:
            return Leave()
        case {"order": "drain"}:
            return Drain()
        case {"order": "hurry"}:
            return Hurry()
        case {"order": "hand over"}:
            return HandOver()
        case {"order": "purge", "key": str(key)}:
            return Purge(BlobKey.parse(key))
        case {"order": "ask", "number": int(number)}:
            return Ask(number)
        case {"order": "call", "number": int(number), "verb": str(verb), "arguments": dict(arguments)}:
            return Call(number, verb, arguments)
    raise ValueError(f"not an order: {line[:100]!r}")


def read_report(line: bytes) -> Report:
    """The report that `written` wrote. Raises ValueError."""
    match orjson.loads(line):
        case {"report": "health", "reasons": list(reasons)}:
            return Health(tuple(reasons))
        case {"report": "answer", "number": int(number), "status": dict(status)}:
            return Answer(number, status)
        case {"report": "failed", "why": str(why)}:
            return Failed(why)
    raise ValueError(f"not a report: {line[:100]!r}")


def _document(message: Order | Report) -> dict[str, Any]:
    match message:
        case Start(config, secret):
            return {"order": "start", "config": config.model_dump(mode="json"), "secret": secret.hex()}
        case Reload(config):
            return {"order": "reload", "config": config.model_dump(mode="json")}
        case Leave():
            return {"order": "leave"}
        case Drain():
            return {"order": "drain"}
        case Hurry():
            return {"order": "hurry"}
        case HandOver():
            return {"order": "hand over"}
        case Purge(key):
            return {"order": "purge", "key": str(key)}
        case Ask(number):
            return {"order": "ask", "number": number}
        case Call(number, verb, arguments):
            return {"order": "call", "number": number, "verb": verb, "arguments": arguments}
        case Health(reasons):
            return {"report": "health", "reasons": list(reasons)}
        case Answer(number, status):
            return {"report": "answer", "number": number, "status": status}
        case Failed(why):
            return {"report": "failed", "why": why}
        case _:
            assert_never(message)
