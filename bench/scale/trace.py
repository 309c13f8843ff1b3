"""The workload of `bench.load` as readings in time: who reads which part of which file, and when.

Nothing is drawn here that a generator of real load does not draw: same catalogue, same habits, same seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, assert_never

from bench.load.arrivals import arrivals
from bench.load.catalogue import Catalogue, File, sketched
from bench.load.workload import (
    Aborted,
    HeadOnly,
    InRanges,
    Part,
    Resumed,
    Session,
    Slow,
    Whole,
    Wish,
    Wishes,
)
from bench.scenario import Scenario

LINE: Final = 125_000_000.0
"""Bytes a second that a client takes who takes what it gets: 1 Gbit/s. Assumed."""
OPENING: Final = 2
"""Requests that open a session: revision and tree."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One file, [start, stop) of it in order, at `rate` bytes a second, by so many `requests` of HTTP. `lot` (0 to 1)
    is what node of those that are there gets it: each file comes by a connection of its own."""

    file: File
    start: int
    stop: int
    rate: float
    requests: int
    lot: float


@dataclass(frozen=True, slots=True)
class Visit:
    """What one client does that comes at second `at`: `heads` are the files it only looks at, or looks at first."""

    at: float
    repo: str
    opening: bool
    heads: tuple[File, ...]
    readings: tuple[Reading, ...]

    @property
    def requests(self) -> int:
        """Of HTTP."""
        return OPENING * self.opening + len(self.heads) + sum(reading.requests for reading in self.readings)


def visits(scenario: Scenario, catalogue: Catalogue, seed: int) -> Iterator[Visit]:
    """Endless; ascending in time. The same seed, the same visits."""
    random, lots = Random(f"scale {seed}"), Random(f"lots {seed}")
    wishes = Wishes(catalogue, scenario.clients.habits(herd=False), random)
    for at in arrivals(scenario.load.arrivals(), random):
        yield _visit(at, wishes.draw(at), lots)


def catalogue_of(scenario: Scenario, seed: int) -> Catalogue:
    """The repos, without the commits that nobody asks for here."""
    return sketched(scenario.catalogue.extent(), seed)


def _visit(at: float, session: Session, lots: Random) -> Visit:
    looked = [wish.file for wish in session.wishes if session.opening or isinstance(wish.style, HeadOnly | Resumed)]
    readings = tuple(reading for wish in session.wishes if (reading := _reading(wish, lots.random())) is not None)
    return Visit(at, session.repo.id, session.opening, tuple(looked), readings)


def _reading(wish: Wish, lot: float) -> Reading | None:
    size = wish.file.size
    match wish.style:
        case HeadOnly():
            return None
        case Whole():
            return Reading(wish.file, 0, size, LINE, 1, lot)
        case InRanges(length):
            return Reading(wish.file, 0, size, LINE, -(-size // length), lot)
        case Resumed(start):
            return Reading(wish.file, start, size, LINE, 1, lot)
        case Aborted(after):
            return Reading(wish.file, 0, after, LINE, 1, lot)
        case Slow(rate):
            return Reading(wish.file, 0, size, rate, 1, lot)
        case Part(start, stop):
            return Reading(wish.file, start, stop, LINE, 1, lot)
        case _:
            assert_never(wish.style)
