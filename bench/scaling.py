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
import subprocess
import tempfile
import time
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

SMALL: Final = ("acme/small", 700)
LARGE: Final = ("acme/large", 256 * MIB)
STEP: Final = 64 * KIB
"""Bytes of a range."""
REQUESTS: Final = 1000
ROUNDS: Final = 3
BLOBS: Final = (1_000, 100_000, 1_000_000)
HELD: Final = (100, 1_000, 10_000)
CHUNKS: Final = (64, 1_000, 10_000, 95_368)
"""The last is 100 GB."""
HASHED: Final = 1_000 * MIB
DOWNLOADS: Final = 8
"""At once, of the large file, when workers are counted."""
FILE: Final = "model.safetensors"

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
                found = uvloop.run(_small_and_ranged(mirror))
            for line, cost in zip(costs.values(), found, strict=True):
                line.append((count, cost))
    _told("blobs stored", costs, pictures, "blobs.svg")


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
    _told("connections held", costs, pictures, "held.svg")


def chunks(folder: Path, pictures: Path | None) -> None:
    """Chunks in the map of a blob of which only its first two MiB are there."""
    costs: Costs = {"GET of 64 KiB": []}
    files = [(f"acme/sparse-{count}", count * MIB) for count in CHUNKS]
    # What is too large to be hashed in a moment is given a digest; a false one, which never shows: it stays in part.
    said = [_model(repo, size) + ("" if size <= HASHED else f"@{size:064x}") for repo, size in files]
    with _hub(folder, *said) as hub, _mirror(folder, hub) as mirror:
        for (repo, size), count in zip(files, CHUNKS, strict=True):
            path = _at_commit(mirror, repo)
            asked = [Asked(path, size, (at, at + STEP)) for at in range(0, 2 * MIB, STEP)]
            costs["GET of 64 KiB"].append((count, uvloop.run(_cost(mirror, asked))))
    _told("chunks in the map", costs, pictures, "chunks.svg")


def workers(folder: Path, pictures: Path | None) -> None:
    """One worker and two; the load on the other core, and with no core left to it."""
    print(f"\n| workers | on cores | load on cores | {DOWNLOADS} whole at once | connections of 200, by worker |")
    print("|---|---|---|---|---|")
    with _hub(folder, _model(*LARGE)) as hub:
        for count, cores, load in ((1, "0", "1"), (1, "0", "0"), (2, "0,1", "0,1"), (1, "0,1", "0,1")):
            with _mirror(folder, hub, "--workers", str(count), cores=cores) as mirror:
                path = _at_commit(mirror, LARGE[0])
                _curl(load, mirror, path, 1)
                rates = [_curl(load, mirror, path, DOWNLOADS) for _ in range(ROUNDS)]
                spread = uvloop.run(_spread(mirror, 200))
            rate = statistics.median(rates)
            print(f"| {count} | {cores} | {load} | {rate / 1e9:.2f} GB/s | {', '.join(map(str, spread))} |", flush=True)


PARTS: Final[dict[str, Callable[[Path, Path | None], None]]] = {
    "blobs": blobs,
    "held": held,
    "chunks": chunks,
    "workers": workers,
}


# --- asking -------------------------------------------------------------------------------------------------------


async def _small_and_ranged(mirror: stand.Mirror) -> tuple[float, float]:
    (small, size), (large, whole) = SMALL, LARGE
    await _fetched(mirror)
    spans = [(at, at + STEP) for at in range(0, whole, whole // 100)][:100]
    path = _at_commit(mirror, large)
    return (
        await _cost(mirror, [Asked(_at_commit(mirror, small), size)]),
        await _cost(mirror, [Asked(path, whole, span) for span in spans]),
    )


async def _while_held(mirror: stand.Mirror, count: int) -> tuple[float, float]:
    async with _open_connections(mirror, count):
        return await _small_and_ranged(mirror)


async def _fetched(mirror: stand.Mirror) -> None:
    client = Client(_address(mirror))
    for repo, size in (SMALL, LARGE):
        await client.ask(Asked(_at_commit(mirror, repo), size))


async def _cost(mirror: stand.Mirror, asked: list[Asked]) -> float:
    """Microseconds of the mirror's CPU per request, one after another on one connection."""
    client = Client(_address(mirror))
    await client.ask(*asked)
    await asyncio.sleep(1.0)  # what is read ahead of the ranges comes to its end
    times = -(-REQUESTS // len(asked))
    found = []
    for _ in range(ROUNDS):
        before = mirror.cpu_seconds()
        await client.ask(*asked * times)
        found.append((mirror.cpu_seconds() - before) / (times * len(asked)))
    return statistics.median(found) * 1e6


@contextlib.asynccontextmanager
async def _open_connections(mirror: stand.Mirror, count: int) -> AsyncIterator[None]:
    around = Surroundings(asyncio.get_running_loop(), 30.0)
    opened = [await Connection.open(around, _address(mirror)) for _ in range(count)]
    try:
        yield
    finally:
        for connection in opened:
            connection.close()


async def _spread(mirror: stand.Mirror, count: int) -> list[int]:
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


def _curl(cores: str, mirror: stand.Mirror, path: str, times: int) -> float:
    """Bytes per second of so many downloads at once."""
    command = ["taskset", "-c", cores, "curl", "-sf", "-o", "/dev/null", mirror.endpoint + path]
    began = time.perf_counter()
    running = [subprocess.Popen(command) for _ in range(times)]
    if any(one.wait() for one in running):
        raise SystemExit("error: a download failed")
    return times * LARGE[1] / (time.perf_counter() - began)


def _at_commit(mirror: stand.Mirror, repo: str) -> str:
    """Where the file is, under its commit."""
    url = f"{mirror.endpoint}/{repo}/resolve/main/{FILE}"
    said = subprocess.run(["curl", "-sfI", url], check=True, capture_output=True, text=True).stdout
    return next(line.split()[1] for line in said.splitlines() if line.lower().startswith("location:"))


def _address(mirror: stand.Mirror) -> tuple[str, int]:
    host, _, port = mirror.endpoint.removeprefix("http://").rpartition(":")
    return host, int(port)


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


def _told(across: str, costs: Costs, pictures: Path | None, name: str) -> None:
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
