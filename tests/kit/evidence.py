"""What a scenario leaves behind for the judge: values, taken once it is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.core.sizes import CHUNK

from .procfs import Snapshot
from .reader import Ending, Reading
from .scrape import Page

FILE_BYTES = ("cdn", "xorb", "resolve-cache", "raw")
"""Kinds of requests at the synthetic Hub whose bodies are files."""
OF_HF_XET = ("cas", "xorb")
"""Kinds of requests that hf_xet makes by itself, whose number the node does not know."""


@dataclass(frozen=True, slots=True)
class Received:
    """A file that a real client says it has. `sha256` and `size` are of what lies on its disk."""

    path: str
    sha256: str
    size: int
    right_sha256: str
    right_size: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a node. `resting` is each process before the first request, `quiet` after the last.

    `page` and the snapshots are missing when the run ended by a kill; `killed` is true too when only a worker was.
    """

    number: int
    killed: bool
    resting: Mapping[int, Snapshot]
    quiet: Mapping[int, Snapshot]
    page: Page | None
    records: tuple[Mapping[str, Any], ...]
    leftovers: tuple[str, ...]
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class HubAccount:
    """What the origin counted. `strikes` is how often a fault met a transfer of file bytes."""

    requests: Mapping[str, int]
    body_bytes: Mapping[str, int]
    strikes: int
    was_off: bool

    @property
    def file_bytes(self) -> int:
        return sum(self.body_bytes.get(kind, 0) for kind in FILE_BYTES)

    @property
    def kept_by_hf_xet(self) -> int:
        """Most bytes that hf_xet read and did not give on: what it was told of files, and the head of each chunk, eight
        bytes before 8 KiB or more."""
        asked, sent = self.requests.get("xorb", 0), self.body_bytes.get("xorb", 0)
        return self.body_bytes.get("cas", 0) + 8 * (asked + sent // 8192)

    @property
    def asked_by_node(self) -> int:
        return sum(count for kind, count in self.requests.items() if kind not in OF_HF_XET)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the node was set to, and what this scenario may cost besides.

    `extra_origin` are bytes that the story itself causes to be fetched again; None: O3 says nothing here."""

    span: int
    parallel: int
    threads: int
    kills: int = 0
    extra_origin: int | None = 0
    exact_origin: bool = False
    only_readers: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    readings: tuple[Reading, ...]
    received: tuple[Received, ...]
    wanted: Mapping[str, tuple[tuple[int, int], ...]]
    """By blob (its sha256 and size): the spans that were asked for."""
    hub: HubAccount
    runs: tuple[Run, ...]
    bounds: Bounds
    fsck: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    """What did not come true before its deadline."""
    left: tuple[str, ...] = ()
    """What a fleet still held when everything was over."""

    @property
    def whole_account(self) -> bool:
        """Whether every process lived to tell, and the origin too."""
        return not any(run.killed or run.page is None for run in self.runs)

    @property
    def has_leavers(self) -> bool:
        """Whether an answer ended early, so that what was under way for it may have been dropped."""
        early = any(reading.ending not in (Ending.COMPLETE, Ending.REFUSED) for reading in self.readings)
        return early or any("err" in record for record in self.records())

    def unique_wanted(self) -> int:
        """Bytes wanted at least once, in whole chunks, as that is what can be stored."""
        return sum(_covered(spans) for spans in self.wanted.values())

    def total(self, metric: str, **labels: str) -> int:
        return int(sum(run.page.total(metric, **labels) for run in self.runs if run.page is not None))

    def records(self) -> Iterator[Mapping[str, Any]]:
        return (record for run in self.runs for record in run.records)


@dataclass(slots=True)
class Wants:
    """Collects what was asked for."""

    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, blob: str, size: int, span: tuple[int, int]) -> None:
        self.sizes[blob] = size
        stop = min(-(-span[1] // CHUNK) * CHUNK, size)
        self.spans.setdefault(blob, []).append((span[0] // CHUNK * CHUNK, stop))

    def value(self) -> dict[str, tuple[tuple[int, int], ...]]:
        return {blob: tuple(spans) for blob, spans in self.spans.items()}


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    covered, reached = 0, 0
    for start, stop in sorted(spans):
        covered += max(0, stop - max(start, reached))
        reached = max(reached, stop)
    return covered
