"""What a request costs as things grow: blobs stored, connections held, chunks in a map; and what a second worker adds.

python -m bench.scaling [--only blobs …] [--pictures docs/performance]

CPU time of the mirror, which is held to one core, the load on another, all on loopback. Prints tables, draws curves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import sqlite3
import statistics
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import uvloop

from bench.load.wire import Connection, Surroundings
from bench.peers.alone import crowd
from bench.peers.asking import Asked, Client
from bench.scale.chart import Chart, Line
from proxy.core.sizes import KIB, MIB

from . import stand
from .rushing import Kind, rushed

FILE: Final = "model.safetensors"
SMALL: Final = ("acme/small", 700)
LARGE: Final = ("acme/large", 256 * MIB)
STEP: Final = 64 * KIB
"""Bytes of a range."""
REQUESTS: Final = 2000
ROUNDS: Final = 3
BLOBS: Final = (1_000, 100_000, 1_000_000)
HELD: Final = (100, 1_000, 10_000)
CHUNKS: Final = (64, 1_000, 10_000, 95_368)
"""The last is 100 GB."""
HASHED: Final = 1_000 * MIB
SECONDS: Final = 2.0
CORES: Final = ((1, "0", "1"), (1, "0", "0"), (1, "0,1", "0,1"), (2, "0,1", "0,1"))
"""Workers, where they may run, where the load may."""


KINDS: Final = (
    Kind("GET of 700 bytes", SMALL[0], FILE, SMALL[1]),
    Kind("the same by the full lane", SMALL[0], FILE, SMALL[1], ("Cookie: a=b",)),
    Kind("GET of 256 MiB", LARGE[0], FILE, LARGE[1]),
)

Costs = dict[str, list[tuple[float, float]]]
"""Microseconds of CPU per request, by what was asked, over what grew."""


def main() -> int:
    parser = argparse.ArgumentParser(description="What a request costs as things grow.")
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), help="of these parts (all)")
    parser.add_argument("--folder", default=None, help="where disks go")
    parser.add_argument("--pictures", type=Path, default=None, help="draw the curves into this folder")
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for name in given.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="penstock-scaling-", dir=given.folder) as folder:
            PARTS[name](Path(folder), given.pictures)
    return 0


# --- what grows ---------------------------------------------------------------------------------------------------


def blobs(folder: Path, pictures: Path | None) -> None:
    """Sealed blobs in the index of the disk."""
    costs: Costs = {"GET of 700 bytes": [], "GET of 64 KiB of 256 MiB": []}
    with _hub(folder, _model(*SMALL), _model(*LARGE)) as hub:
        stored = 0
        for count in BLOBS:
            with _mirror(folder, hub) as mirror:
                uvloop.run(_fetched(mirror))
            with contextlib.closing(sqlite3.connect(folder / "disk" / "index.sqlite")) as index:
                crowd(index, count - stored)
            stored = count
            with _mirror(folder, hub) as mirror:
                found = uvloop.run(small_and_ranged(mirror))
            for line, cost in zip(costs.values(), found, strict=True):
                line.append((count, cost))
    told("blobs stored", costs, pictures, "blobs.svg")


def held(folder: Path, pictures: Path | None) -> None:
    """Connections that are open and ask nothing."""
    costs: Costs = {"GET of 700 bytes": [], "GET of 64 KiB of 256 MiB": []}
    options = {"PENSTOCK_LIMITS__CONNECTIONS_PER_CLIENT": "20000", "PENSTOCK_LIMITS__CONNECTIONS": "20000"}
    os.environ.update(options)
    with _hub(folder, _model(*SMALL), _model(*LARGE)) as hub:
        for count in HELD:
            with _mirror(folder, hub) as mirror:
                found = uvloop.run(_while_held(mirror, count))
            for line, cost in zip(costs.values(), found, strict=True):
                line.append((count, cost))
    for name in options:
        del os.environ[name]
    told("connections held", costs, pictures, "held.svg")


def chunks(folder: Path, pictures: Path | None) -> None:
    """Chunks in the map of a blob of which only its first two MiB are there."""
    costs: Costs = {"GET of 64 KiB": []}
    files = [(f"acme/sparse-{count}", count * MIB) for count in CHUNKS]
    # What is too large to be hashed in a moment is given a digest; a false one, which never shows: it stays in part.
    said = [_model(repo, size) + ("" if size <= HASHED else f"@{size:064x}") for repo, size in files]
    with _hub(folder, *said) as hub, _mirror(folder, hub) as mirror:
        for (repo, size), count in zip(files, CHUNKS, strict=True):
            path = mirror.at_commit(repo, FILE)
            asked = [Asked(path, size, (at, at + STEP)) for at in range(0, 2 * MIB, STEP)]
            costs["GET of 64 KiB"].append((count, uvloop.run(_cost(mirror, asked))))
    told("chunks in the map", costs, pictures, "chunks.svg")


def workers(folder: Path, pictures: Path | None) -> None:
    """One worker and two; the load on the other core, and with no core left to it."""
    print("\n| load | workers | on cores | load on cores | rate | CPU busy: mirror, load | connections of 200 |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with _hub(folder, _model(*SMALL), _model(*LARGE)) as hub:
        for count, cores, load in CORES:
            with _mirror(folder, hub, "--workers", str(count), cores=cores) as mirror:
                uvloop.run(_fetched(mirror))
                each = ", ".join(map(str, uvloop.run(spread(mirror, 200))))
                for kind in KINDS:
                    found = [rushed(mirror, kind, [load] * len(load.split(",")), SECONDS) for _ in range(ROUNDS)]
                    rate, ours, theirs = (statistics.median(column) for column in zip(*found, strict=True))
                    said = f"{rate:,.0f}/s" if kind.size < MIB else f"{rate * kind.size / 1e9:.2f} GB/s"
                    busy = f"{ours:.0%}, {theirs:.0%}"
                    print(f"| {kind.title} | {count} | {cores} | {load} | {said} | {busy} | {each} |", flush=True)


PARTS: Final[dict[str, Callable[[Path, Path | None], None]]] = {
    "blobs": blobs,
    "held": held,
    "chunks": chunks,
    "workers": workers,
}


# --- asking -------------------------------------------------------------------------------------------------------


async def small_and_ranged(
    mirror: stand.Mirror, large_one: tuple[str, int] = LARGE, requests: int = REQUESTS
) -> tuple[float, float]:
    """Microseconds of CPU for a small GET, and for a range of the large one."""
    (small, size), (large, whole) = SMALL, large_one
    await _fetched(mirror, large_one)
    spans = [(at, at + STEP) for at in range(0, whole - STEP, whole // 100)]
    path = mirror.at_commit(large, FILE)
    return (
        await _cost(mirror, [Asked(mirror.at_commit(small, FILE), size)], requests),
        await _cost(mirror, [Asked(path, whole, span) for span in spans], requests),
    )


async def _while_held(mirror: stand.Mirror, count: int) -> tuple[float, float]:
    async with _open_connections(mirror, count):
        return await small_and_ranged(mirror)


async def _fetched(mirror: stand.Mirror, large_one: tuple[str, int] = LARGE) -> None:
    client = Client(mirror.address)
    for repo, size in (SMALL, large_one):
        await client.ask(Asked(mirror.at_commit(repo, FILE), size))


async def _cost(mirror: stand.Mirror, asked: list[Asked], requests: int = REQUESTS) -> float:
    """Microseconds of the mirror's CPU per request, one after another on one connection."""
    client = Client(mirror.address)
    await client.ask(*asked)
    await asyncio.sleep(1.0)  # what is read ahead of the ranges comes to its end
    times = -(-requests // len(asked))
    found = []
    for _ in range(ROUNDS):
        before = mirror.cpu_seconds()
        await client.ask(*asked * times)
        found.append((mirror.cpu_seconds() - before) / (times * len(asked)))
    return statistics.median(found) * 1e6


@contextlib.asynccontextmanager
async def _open_connections(mirror: stand.Mirror, count: int) -> AsyncIterator[None]:
    around = Surroundings(asyncio.get_running_loop(), 30.0)
    opened = [await Connection.open(around, mirror.address) for _ in range(count)]
    try:
        yield
    finally:
        for connection in opened:
            connection.close()


async def spread(mirror: stand.Mirror, count: int) -> list[int]:
    """How many of `count` new connections each worker has got."""
    before = {pid: _sockets(pid) for pid in mirror.pids}
    async with _open_connections(mirror, count):
        await asyncio.sleep(0.5)  # they are accepted one after another
        more = Counter({pid: _sockets(pid) - before[pid] for pid in mirror.pids})
    return sorted(value for value in more.values() if value > 0)


def _sockets(pid: int) -> int:
    links = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(one.readlink()))
    return sum(link.startswith("socket:") for link in links)


# --- standing -----------------------------------------------------------------------------------------------------


def _model(repo: str, size: int) -> str:
    return f"{repo}:{FILE}={size}"


@contextlib.contextmanager
def _hub(folder: Path, *models: str) -> Iterator[str]:
    """A synthetic Hub on the core of the load, and from then on ourselves too."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with stand.hub(folder, *(part for model in models for part in ("--model", model))) as found:
        yield str(found["url"])


@contextlib.contextmanager
def _mirror(folder: Path, hub: str, *options: str, cores: str = "0") -> Iterator[stand.Mirror]:
    (folder / "mirror.json").unlink(missing_ok=True)  # of the one before
    with stand.mirror(folder, hub, *options, pinned=cores) as mirror:
        yield mirror


# --- telling ------------------------------------------------------------------------------------------------------


def told(across: str, costs: Costs, pictures: Path | None, name: str) -> None:
    """A table, and a picture."""
    counts = [count for count, _ in next(iter(costs.values()))]
    print(f"\n| {across} | " + " | ".join(f"{count:,.0f}" for count in counts) + " |")
    print("|---|" + "---|" * len(counts))
    for title, line in costs.items():
        print(f"| {title}, µs of CPU | " + " | ".join(f"{cost:.0f}" for _, cost in line) + " |", flush=True)
    if pictures is None:
        return
    pictures.mkdir(exist_ok=True)
    top = max(cost for line in costs.values() for _, cost in line)
    step = next(one for one in (50, 100, 200, 250, 500, 1000, 2500, 5000, 1e9) if one * 6 >= top)
    chart = Chart(
        f"CPU of a request, over {across} (µs)",
        across,
        tuple(Line(title, tuple(line)) for title, line in costs.items()),
        tuple((count, f"{count:,.0f}") for count in counts),
        tuple((step * number, f"{step * number:g}") for number in range(7)),
    )
    (pictures / name).write_text(chart.svg())


if __name__ == "__main__":
    raise SystemExit(main())
