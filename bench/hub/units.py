"""Sizes, rates and durations as people write them: `300MiB`, `50MB/s`, `20ms`."""

import re

_SIZES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _SIZES |= {_letter: 1000**_power, f"{_letter}b": 1000**_power, f"{_letter}ib": 1024**_power}
_SECONDS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*")


def parse_size(text: str) -> int:
    """Bytes; `kB` is 1000, `KiB` is 1024. Raises ValueError for anything else."""
    number, unit = _split(text)
    if unit.lower() not in _SIZES:
        raise ValueError(f"{text!r} is not a size such as 700, 50MB or 2GiB")
    return int(number * _SIZES[unit.lower()])


def parse_rate(text: str) -> float:
    """Bytes per second, with or without `/s`."""
    return float(parse_size(text.strip().removesuffix("/s")))


def parse_seconds(text: str) -> float:
    number, unit = _split(text)
    if unit not in _SECONDS:
        raise ValueError(f"{text!r} is not a duration such as 20ms or 1.5s")
    return number * _SECONDS[unit]


def _split(text: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit")
    return float(match[1]), match[2]
