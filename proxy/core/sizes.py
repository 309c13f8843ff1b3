"""Sizes and durations: the units of the store, and the human spelling of both."""

from __future__ import annotations

import re
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

CHUNK: Final = MIB
"""Bytes in a chunk, the unit of presence: a chunk is on disk or it is not."""

SLICE: Final = 64 * MIB
"""Bytes in a slice, the unit of placement: a slice lives on one disk."""

_SIZE_UNITS: Final = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "kib": KIB,
    "m": 1000**2,
    "mb": 1000**2,
    "mib": MIB,
    "g": 1000**3,
    "gb": 1000**3,
    "gib": GIB,
    "t": 1000**4,
    "tb": 1000**4,
    "tib": TIB,
    "p": 1000**5,
    "pb": 1000**5,
    "pib": 1024 * TIB,
}
_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_size(text: str | int) -> int:
    """Bytes meant by `text`: "500GiB", "1.5 TB", "4096". Decimal units are powers of 1000, "…iB" powers of 1024.

    Raises ValueError when it is no size.
    """
    if isinstance(text, int):
        return text
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size; write it like 500GiB, 1.5TB or 4096")
    return int(float(match[1]) * _SIZE_UNITS[match[2].lower()])


def parse_duration(text: str | float) -> float:
    """Seconds meant by `text`: "250ms", "30s", "5m", "1h", "2d", or a bare number of seconds.

    Raises ValueError when it is no duration.
    """
    if isinstance(text, int | float):
        return float(text)
    match = _QUANTITY.fullmatch(text)
    unit = (match[2].lower() or "s") if match else ""
    if match is None or unit not in _DURATION_UNITS:
        raise ValueError(f"{text!r} is not a duration; write it like 250ms, 30s, 5m or 1h")
    return float(match[1]) * _DURATION_UNITS[unit]


def format_size(count: float) -> str:
    """`count` bytes as a person reads them: "1.5 GiB", "700 B"."""
    if count < KIB:
        return f"{int(count)} B"
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        count /= 1024
        if count < 1024 or unit == "PiB":
            return f"{count:.1f} {unit}"
    raise AssertionError("unreachable: PiB is the last unit")


def chunk_count(size: int) -> int:
    """How many chunks a blob of `size` bytes has; the last one may be short."""
    return -(-size // CHUNK)
