"""The access log: one JSON line for each request, of what an operator may know, and of nothing a client must keep."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import orjson

from .lines import LineWriter
from .redaction import clean
from .rotation import Rotation

ClientNaming = Literal["pseudonym", "network", "full", "none"]

_PRODUCT: Final = re.compile(r"([A-Za-z0-9_.-]{1,40})/([A-Za-z0-9_.+-]{1,40})")


class AccessRecord(NamedTuple):
    """What happened to one request. Times in seconds; `path` is the file's path or the raw one, without its query.

    A tuple, because one is made for each request: a frozen dataclass of so many fields takes three times as long."""

    at: float
    request_id: str
    client: str
    method: str
    host: str
    route: str
    path: str
    status: int
    size: int
    cache: str
    source: str
    first_byte: float | None
    duration: float
    agent: str
    repo: str | None = None
    revision: str | None = None
    range: str | None = None
    error: str | None = None
    peer: str | None = None


class AccessLog:
    """Where the front puts its records. Never blocks, never raises; a log that cannot follow loses lines, counted."""

    def __init__(self, writer: LineWriter[AccessRecord] | None) -> None:
        self._writer = writer

    @property
    def is_on(self) -> bool:
        """Whether records go anywhere."""
        return self._writer is not None

    def write(self, record: AccessRecord) -> None:
        if self._writer is not None:
            self._writer.offer(record)

    def reopen(self) -> None:
        if self._writer is not None:
            self._writer.reopen()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def open_access_log(
    target: str,
    naming: ClientNaming,
    secret: bytes,
    on_lost: Callable[[int], None],
    rotation: Rotation | None = None,
) -> AccessLog:
    """`target` is a path, `-` for standard output, or empty for none. Raises OSError."""
    if not target:
        return AccessLog(None)
    path = None if target == "-" else Path(target).expanduser()
    writer: LineWriter[AccessRecord] = LineWriter(
        lambda record: rendered(record, naming, secret), path=path, fd=1, on_lost=on_lost, rotation=rotation
    )
    writer.open()
    return AccessLog(writer)


def rendered(record: AccessRecord, naming: ClientNaming, secret: bytes) -> bytes:
    """The line of `record`. Fields without a value are left out."""
    fields = {
        "ts": datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds"),
        "req_id": clean(record.request_id, 80),
        "client": named(record.client, naming, secret, record.at) or None,
        "method": clean(record.method, 16),
        "host": clean(record.host, 200),
        "route": record.route,
        "repo": record.repo and clean(record.repo, 200),
        "rev": record.revision and clean(record.revision, 200),
        "path": clean(record.path.partition("?")[0], 1000),
        "status": record.status,
        "range": record.range and clean(record.range, 200),
        "bytes": record.size,
        "cache": record.cache,
        "source": record.source or None,
        "ttfb_ms": None if record.first_byte is None else round(record.first_byte * 1000, 2),
        "dur_ms": round(record.duration * 1000, 2),
        "ua": agent_fields(record.agent) or None,
        "peer": record.peer and clean(record.peer, 300),
        "err": record.error and clean(record.error, 300),
    }
    kept = {name: value for name, value in fields.items() if value is not None}
    return orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE)


def named(address: str, naming: ClientNaming, secret: bytes, at: float) -> str:
    """How the log calls the client at `address` (no port). A pseudonym is good for one UTC day and one run: it tells
    clients of a day apart, and links nobody across days."""
    if naming == "none":
        return ""
    if naming == "full":
        return clean(address, 64)
    if naming == "network":
        return _network(address)
    return _pseudonym(address, secret, int(at // 86_400))


@lru_cache(maxsize=4096)
def _pseudonym(address: str, secret: bytes, day: int) -> str:
    return hmac.new(secret, f"{day}/{address}".encode(), "sha256").hexdigest()[:16]


def agent_fields(agent: str) -> dict[str, str]:
    """The products of a User-Agent ("hf_hub/2.4.0; python/3.11; torch/2.9") by lower-case name, at most eight."""
    return dict(_products(agent[:1600]))


@lru_cache(maxsize=1024)
def _products(agent: str) -> tuple[tuple[str, str], ...]:
    found = _PRODUCT.findall(clean(agent, 400))
    return tuple((name.lower(), version) for name, version in found[:8])


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 48}", strict=False))
