"""Quantities in the harness' files, as people spell them: "64MiB", "20s", "50MB/s"; bare numbers are base units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, Field

from bench.hub import units


def _spelled(parse: Callable[[str], float]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


Size = Annotated[int, _spelled(units.parse_size), Field(ge=0)]
"""Bytes."""
Seconds = Annotated[float, _spelled(units.parse_seconds), Field(ge=0)]
Rate = Annotated[float, _spelled(units.parse_rate), Field(gt=0)]
"""Bytes a second."""
Share = Annotated[float, Field(ge=0, le=1)]
