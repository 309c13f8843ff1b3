"""What one client wants: a session, drawn from a seed. Pure.

Popularity is Zipf's over the catalogue; beside that, interest in new releases that decays, and repos that one client
wants once and nobody ever again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from random import Random
from typing import TypeVar

from .catalogue import Catalogue, File, Repo

T = TypeVar("T")


class Act(StrEnum):
    """What a client does in one session."""

    SNAPSHOT = "snapshot"
    """Revision, tree, a HEAD of each file, then the bodies: what `snapshot_download` does."""
    LOOK = "look"
    """The same without bodies: everything is at home already."""
    FILE = "file"
    """One file of weights."""
    SMALL = "small"
    """One small file."""
    RANGE = "range"
    """One range of a file of weights."""
    HEAD = "head"
    """One HEAD."""


class StyleName(StrEnum):
    """How a large body is read."""

    STREAM = "stream"
    RANGES = "ranges"
    RESUME = "resume"
    ABORT = "abort"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Whole:
    """In one answer."""


@dataclass(frozen=True, slots=True)
class InRanges:
    """In parts of `size`, `parallel` at once."""

    size: int
    parallel: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """From `start` to the end, `If-Range` the validator that a HEAD gave: after a break."""

    start: int


@dataclass(frozen=True, slots=True)
class Aborted:
    """Until `after` bytes, then the client goes away."""

    after: int


@dataclass(frozen=True, slots=True)
class Slow:
    """In one answer, taking `rate` bytes a second."""

    rate: float


@dataclass(frozen=True, slots=True)
class Part:
    """The half-open range [start, stop) alone."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class HeadOnly:
    """No body."""


Style = Whole | InRanges | Resumed | Aborted | Slow | Part | HeadOnly


@dataclass(frozen=True, slots=True)
class Wish:
    """One file, and how it is read."""

    file: File
    style: Style


@dataclass(frozen=True, slots=True)
class Session:
    """All that one client does with one repo. `opening`: it asks for revision and tree, and HEADs each file, first;
    then it reads, `parallel` files at once."""

    repo: Repo
    wishes: tuple[Wish, ...]
    opening: bool = False
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class Habits:
    """How clients behave. Shares are from 0 to 1, weights relative, sizes in bytes, rates in bytes a second."""

    acts: tuple[tuple[Act, float], ...]
    styles: tuple[tuple[StyleName, float], ...]
    alpha: float
    """Of Zipf's law; 0 is uniform."""
    release_share: float
    once_share: float
    release_every: float
    """Seconds from one release to the next."""
    half_lives: tuple[float, float]
    """Seconds in which interest halves: of four releases in five, and of the fifth, which is adopted."""
    parallel: int
    range_bytes: int
    ranges_parallel: int
    slow_rates: tuple[float, float]
    all_for_first: bool
    """Everybody wants the first repo: a herd."""


class Wishes:
    """Draws sessions. Two with the same catalogue, habits and seed draw the same ones.

    `part` of `parts`: which of the generator processes this is; repos wanted once are divided among them.
    """

    def __init__(self, catalogue: Catalogue, habits: Habits, random: Random, *, part: int = 0, parts: int = 1) -> None:
        self._catalogue = catalogue
        self._habits = habits
        self._random = random
        self._ranks = list(accumulate((rank + 1) ** -habits.alpha for rank in range(len(catalogue.popular))))
        self._once = iter(catalogue.once[part::parts])

    def draw(self, at: float) -> Session:
        """The session of a client that comes at second `at` of the run."""
        act = _weighted(self._habits.acts, self._random)
        repo = self._repo(at)
        match act:
            case Act.SNAPSHOT:
                wishes = tuple(Wish(file, self._style(file)) for file in repo.files)
                return Session(repo, wishes, opening=True, parallel=self._habits.parallel)
            case Act.LOOK:
                heads = tuple(Wish(file, HeadOnly()) for file in repo.files)
                return Session(repo, heads, opening=True, parallel=self._habits.parallel)
            case _:
                return Session(repo, (self._single(act, repo),))

    def _single(self, act: Act, repo: Repo) -> Wish:
        small = tuple(file for file in repo.files if not file.linked)
        choice = small if act is Act.SMALL and small else repo.weights or repo.files
        file = self._random.choice(choice)
        match act:
            case Act.HEAD:
                return Wish(file, HeadOnly())
            case Act.RANGE:
                start = self._random.randrange(max(1, file.size - self._habits.range_bytes + 1))
                return Wish(file, Part(start, min(file.size, start + self._habits.range_bytes)))
            case _:
                return Wish(file, self._style(file))

    def _repo(self, at: float) -> Repo:
        if self._habits.all_for_first:
            return self._catalogue.popular[0]
        kind = self._random.random()
        if kind < self._habits.once_share and (wanted := next(self._once, None)) is not None:
            return wanted
        born = self._born(at) if kind > 1.0 - self._habits.release_share else 0
        if born:
            weights = list(accumulate(self._interest(number, at) for number in range(born)))
            return self._catalogue.releases[_index(weights, self._random)]
        return self._catalogue.popular[_index(self._ranks, self._random)]

    def _born(self, at: float) -> int:
        """How many releases there are at second `at`."""
        return min(len(self._catalogue.releases), 1 + int(at / self._habits.release_every))

    def _interest(self, number: int, at: float) -> float:
        hype, adopted = self._habits.half_lives
        half_life = adopted if number % 5 == 4 else hype
        return float(2.0 ** (-(at - number * self._habits.release_every) / half_life))

    def _style(self, file: File) -> Style:
        if not file.linked or file.size < 2:
            return Whole()
        habits, random = self._habits, self._random
        match _weighted(habits.styles, random):
            case StyleName.STREAM:
                return Whole()
            case StyleName.RANGES:
                return InRanges(habits.range_bytes, habits.ranges_parallel)
            case StyleName.RESUME:
                return Resumed(random.randrange(1, file.size))
            case StyleName.ABORT:
                return Aborted(random.randrange(1, file.size))
            case StyleName.SLOW:
                return Slow(random.uniform(*habits.slow_rates))


def spans_of(wish: Wish) -> tuple[int, int]:
    """The half-open range of the file that a wish asks for."""
    match wish.style:
        case Part(start, stop):
            return start, stop
        case Resumed(start):
            return start, wish.file.size
        case HeadOnly():
            return 0, 0
        case Whole() | InRanges() | Aborted() | Slow():
            return 0, wish.file.size


def _weighted(choices: Sequence[tuple[T, float]], random: Random) -> T:
    if len(choices) == 1:
        return choices[0][0]
    return choices[_index(list(accumulate(weight for _, weight in choices)), random)][0]


def _index(cumulated: Sequence[float], random: Random) -> int:
    """A position, drawn by weights whose running sums are given."""
    return min(bisect_right(cumulated, random.random() * cumulated[-1]), len(cumulated) - 1)
