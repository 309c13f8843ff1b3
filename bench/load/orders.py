"""What the conductor tells a generator process, and what it hears from it: JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import orjson

from bench.scenario import Scenario


class Task(StrEnum):
    """What a generator process is started for."""

    LOAD = "load"
    """The scenario's own load."""
    REPLAY = "replay"
    """The requests of a trace, at their times."""
    WARM = "warm"
    """Every popular repo once, as fast as it goes."""


@dataclass(frozen=True, slots=True)
class Order:
    """The whole order for one process, but for when to begin: that is a second line, once all processes are ready."""

    task: Task
    scenario: Scenario
    catalogue: Path
    addresses: tuple[tuple[str, int], ...]
    """Of the mirrors: host and port. Clients are shared out among them."""
    part: int
    parts: int
    trace: Path | None = None

    def to_line(self) -> bytes:
        plain = {name: getattr(self, name) for name in ("task", "addresses", "part", "parts")}
        plain |= {"catalogue": str(self.catalogue), "trace": self.trace and str(self.trace)}
        scenario = self.scenario.model_dump(mode="json")
        return orjson.dumps({**plain, "scenario": scenario}, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        plain = orjson.loads(line)
        return cls(
            task=Task(plain["task"]),
            scenario=Scenario.model_validate(plain["scenario"]),
            catalogue=Path(plain["catalogue"]),
            addresses=tuple((host, port) for host, port in plain["addresses"]),
            part=plain["part"],
            parts=plain["parts"],
            trace=Path(plain["trace"]) if plain["trace"] else None,
        )


def begin_line(begin: float) -> bytes:
    """The word to go: a moment of CLOCK_MONOTONIC, which all processes of a machine share."""
    return orjson.dumps({"begin": begin}, option=orjson.OPT_APPEND_NEWLINE)


def begin_of(line: bytes) -> float:
    return float(orjson.loads(line)["begin"])


def said(kind: str, plain: dict[str, Any]) -> bytes:
    """A line of a generator: `ready`, `second` or `totals`."""
    return orjson.dumps({"kind": kind, **plain}, option=orjson.OPT_APPEND_NEWLINE)
