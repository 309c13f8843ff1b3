"""Tokens that must be seen nowhere but at the origin, and the search for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.hub.counters import RequestRecord
from bench.hub.messages import Plane

CANARY = "hf_CANARY"
_STEP = 4 << 20


def token(name: str) -> str:
    """The token of a user, easily found wherever it should not be."""
    return f"{CANARY}{name}0123456789abcdef"


def in_files(roots: Iterable[Path]) -> Iterator[str]:
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.is_file() and _holds(path):
                yield f"{path} holds a token"


def in_requests(log: Iterable[RequestRecord]) -> Iterator[str]:
    """Requests to the origin that carry a token where none belongs."""
    for record in log:
        if CANARY in record.raw_path:
            yield f"a token in the address of {record.method} {record.raw_path}"
        shown = {name for name, text in record.headers.items() if CANARY in text}
        if record.plane is not Plane.HUB and shown:
            yield f"a token in {sorted(shown)} on the {record.plane} plane"
        if shown - {"authorization"}:
            yield f"a token in {sorted(shown)} of a request to the Hub"


def _holds(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return any(CANARY.encode() in os.pread(file.fileno(), length, at) for at, length in _written(file.fileno()))
    except FileNotFoundError:
        return False


def _written(fd: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are no holes, a few MiB at a time; neighbours overlap by the length of a token."""
    at, end = 0, os.fstat(fd).st_size
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        stop = os.lseek(fd, at, os.SEEK_HOLE)
        for start in range(at, stop, _STEP):
            yield start, min(_STEP + len(CANARY), stop - start)
        at = stop
