"""Traces: single requests for files at their times; from an access log or a workload, to be replayed, or told to a
cache simulator. Pure, but for reading and writing files.

A replay keeps times, popularity, sizes and ranges of a log. Names and contents are made up: a repo is called by the
order in which it came, and of two revisions of a file the longer one is taken for both.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from bench.hub.repo import LFS_SUFFIXES, LFS_THRESHOLD

from .arrivals import Shape, arrivals
from .catalogue import Catalogue, File, Repo, committed
from .workload import Aborted, Habits, HeadOnly, InRanges, Part, Resumed, Session, Slow, Style, Whole, Wish, Wishes

MOST_REQUESTS: Final = 5_000_000
"""Of one trace; a longer log is cut there."""
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)
_METHODS: Final = frozenset({"GET", "HEAD"})
_DELIVERED: Final = frozenset({200, 206})


class NoTrace(Exception):
    """There is nothing to be replayed; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request for a file: `repo` and `file` are places in the catalogue. `span` None: the whole; empty: a HEAD."""

    at: float
    repo: int
    file: int
    span: tuple[int, int] | None

    def session(self, catalogue: Catalogue) -> Session:
        repo = catalogue.popular[self.repo]
        return Session(repo, (Wish(repo.files[self.file], self._style()),))

    def _style(self) -> Style:
        if self.span is None:
            return Whole()
        return Part(*self.span) if self.span[0] < self.span[1] else HeadOnly()


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order of their times (seconds from the first), and what they ask for."""

    catalogue: Catalogue
    requests: tuple[Request, ...]

    @property
    def seconds(self) -> float:
        return self.requests[-1].at if self.requests else 0.0


# -- from an access log -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """What one line of a log tells about a file that was delivered. `size`: the file has at least so many bytes."""

    at: float
    repo: str
    path: str
    span: tuple[int, int] | None
    size: int


def from_log(path: Path, *, speed: float) -> Trace:
    """The files that an access log of Penstock tells of, `speed` times as fast as they were asked for. Raises NoTrace,
    OSError."""
    with path.open("rb") as log:
        lines = sorted(_lines(log), key=lambda line: line.at)
    if not lines:
        raise NoTrace(f"{path} tells of no file that was delivered; is it an access log of Penstock?")
    sizes: dict[str, dict[str, int]] = {}
    for line in lines:
        files = sizes.setdefault(line.repo, {})
        files[line.path] = max(files.get(line.path, 0), line.size)
    catalogue = committed(Catalogue(tuple(_repo(number, files) for number, files in enumerate(sizes.values()))))
    places = {
        (repo, path): (number, place)
        for number, (repo, files) in enumerate(sizes.items())
        for place, path in enumerate(files)
    }
    begin = lines[0].at
    return Trace(
        catalogue,
        tuple(Request((line.at - begin) / speed, *places[line.repo, line.path], line.span) for line in lines),
    )


def _lines(log: Iterable[bytes]) -> Iterator[_Line]:
    count = 0
    for text in log:
        try:
            line = _line(orjson.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut short by a crash, or written by somebody else
        if line is not None:
            count += 1
            yield line
        if count >= MOST_REQUESTS:
            return


def _line(fields: Mapping[str, Any]) -> _Line | None:
    """Raises ValueError, KeyError or TypeError when it is no line of ours; None when it is of no file."""
    is_file = fields["route"] == "resolve" and fields["method"] in _METHODS and fields["status"] in _DELIVERED
    if not is_file or "repo" not in fields:
        return None
    at, count = datetime.fromisoformat(fields["ts"]).timestamp(), int(fields["bytes"])
    place = (at, str(fields["repo"]), str(fields["path"]))
    if fields["method"] == "HEAD":
        return _Line(*place, (0, 0), 1)
    if fields["status"] == 200:
        return _Line(*place, None, max(1, count))
    match = _RANGE.fullmatch(str(fields.get("range", "")))
    start = int(match[1]) if match else 0
    return _Line(*place, (start, start + count), start + count) if count else None


def _repo(number: int, files: Mapping[str, int]) -> Repo:
    name = f"replay-{number % 97:02d}/model-{number:05d}"
    return Repo(
        name, "", tuple(File(path, size, f"{name}/{path}", _is_linked(path, size)) for path, size in files.items())
    )


def _is_linked(path: str, size: int) -> bool:
    return size > LFS_THRESHOLD or Path(path).suffix in LFS_SUFFIXES


# -- from a workload --------------------------------------------------------------------------------------------------


def from_workload(catalogue: Catalogue, habits: Habits, shape: Shape, duration: float, seed: int) -> Trace:
    """What the clients of an open loop would ask for, each file of a session at the session's begin."""
    random = Random(f"{seed}/0/1")
    wishes = Wishes(catalogue, habits, random)
    repos = list(catalogue)
    places = {repo.id: number for number, repo in enumerate(repos)}
    requests = []
    for at in takewhile(lambda at: at < duration, arrivals(shape, random)):
        session = wishes.draw(at)
        number = places[session.repo.id]
        files = session.repo.files
        requests += [Request(at, number, files.index(wish.file), _span(wish)) for wish in session.wishes]
        if len(requests) >= MOST_REQUESTS:
            break
    return Trace(Catalogue(tuple(repos)), tuple(requests))


def _span(wish: Wish) -> tuple[int, int] | None:
    match wish.style:
        case HeadOnly():
            return 0, 0
        case Part(start, stop):
            return start, stop
        case Resumed(start):
            return start, wish.file.size
        case Aborted(after):
            return 0, after
        case Whole() | InRanges() | Slow():
            return None


# -- kept and read back -----------------------------------------------------------------------------------------------


def write(trace: Trace, path: Path) -> None:
    """The requests alone; the catalogue is a file of its own."""
    rows = [[one.at, one.repo, one.file, one.span] for one in trace.requests]
    path.write_bytes(orjson.dumps(rows))


def sessions(path: Path, catalogue: Catalogue, part: int, parts: int) -> Iterator[tuple[float, Session]]:
    """Every `parts`-th request of a written trace, from the `part`-th on."""
    for at, repo, file, span in orjson.loads(path.read_bytes())[part::parts]:
        yield at, Request(at, repo, file, span and (span[0], span[1])).session(catalogue)


# -- for a cache simulator --------------------------------------------------------------------------------------------

PIECE: Final = 1 << 30
"""Longer files are several objects of this many bytes: sizes in the format have 32 bits."""
_RECORD: Final = struct.Struct("<IQIq")
_NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class Access:
    """One object that was asked for at second `at`."""

    at: float
    object: int
    size: int


def accesses(trace: Trace) -> Iterator[Access]:
    """What a cache that keeps whole files (in pieces) sees. A HEAD asks it for nothing."""
    for one in trace.requests:
        file = trace.catalogue.popular[one.repo].files[one.file]
        start, stop = one.span or (0, file.size)
        for number in range(start // PIECE, -(-stop // PIECE)):
            name = blake2b(f"{file.seed}/{number}".encode(), digest_size=8).digest()
            yield Access(one.at, int.from_bytes(name, "big"), min(PIECE, file.size - number * PIECE))


def oracle_general(trace: Trace) -> bytes:
    """libCacheSim's binary format `oracleGeneral`: (uint32 second, uint64 object, uint32 size, int64 number of the next
    request for the same object, or -1), little-endian and packed."""
    seen = list(accesses(trace))
    following: dict[int, int] = {}
    after = [_NEVER] * len(seen)
    for number in range(len(seen) - 1, -1, -1):
        after[number] = following.get(seen[number].object, _NEVER)
        following[seen[number].object] = number
    return b"".join(
        _RECORD.pack(int(one.at), one.object, one.size, following_at)
        for one, following_at in zip(seen, after, strict=True)
    )


def csv(trace: Trace) -> bytes:
    """The same as text: second, object, size."""
    return b"time,object,size\n" + b"".join(b"%.3f,%d,%d\n" % (one.at, one.object, one.size) for one in accesses(trace))
