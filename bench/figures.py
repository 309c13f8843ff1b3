"""First figures: one large file, warm and cold, by curl and by the real client.

python -m bench.figures [--size 1GiB] [--repeat 5] [--markdown]

The mirror is held to one core and the client to another, all on loopback; each figure is the median of its repeats.
These are ratios of one machine, not promises for a network card.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.core.sizes import parse_size

from . import stand
from .demo import downloaded

REPO = "acme/one-file"
FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of some runs: wall seconds, the mirror's CPU seconds, bytes moved."""

    name: str
    seconds: float
    cpu: float
    size: int

    def row(self) -> str:
        rate, cost = self.size / self.seconds / 1e9, self.size / max(self.cpu, 0.01) / 1e9
        return f"| {self.name} | {self.seconds:.2f} | {rate:.2f} GB/s | {cost:.2f} GB per CPU-second |"


def main() -> int:
    given = _arguments()
    size = parse_size(given.size)
    if shutil.which("curl") is None:
        raise SystemExit("error: curl is needed; run: apt-get install curl")
    with tempfile.TemporaryDirectory(prefix="penstock-figures-", dir=given.folder) as name:
        folder = Path(name)
        with (
            stand.hub(folder, "--model", f"{REPO}:{FILE}={size}") as hub,
            stand.mirror(folder, hub["url"], pinned=_core(0)) as mirror,
        ):
            figures = list(_measured(mirror, folder, size, given.repeat))
    print(f"{size / 2**30:g} GiB on loopback, mirror on one core, client on another, median of {given.repeat}:\n")
    print("| what | seconds | rate | cost |\n|---|---|---|---|")
    print("\n".join(figure.row() for figure in figures))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="First figures: one large file, warm and cold.")
    parser.add_argument("--size", default="1GiB", help="of the file (1GiB)")
    parser.add_argument("--repeat", type=int, default=5, help="runs per figure (5)")
    parser.add_argument("--folder", default=None, help="where the disk and the client's files go")
    return parser.parse_args()


def _measured(mirror: stand.Mirror, folder: Path, size: int, repeat: int) -> list[Figure]:
    url = f"{mirror.endpoint}/{REPO}/resolve/main/{FILE}"

    def curl(*options: str, times: int = 1) -> Callable[[int], None]:
        return lambda run: _run("curl", "-sfL", *options, *("-o", "/dev/null", url) * times)

    def client(run: int) -> None:
        downloaded(REPO, mirror, folder / f"home-{run}")
        shutil.rmtree(folder / f"home-{run}")

    middle = f"{size // 2}-{size // 2 + (16 << 20) - 1}"
    return [
        _figure("cold, whole, curl", mirror, curl(), size, 1),
        _figure("warm, whole, curl", mirror, curl(), size, repeat),
        _figure("warm, 64 ranges of 16 MiB, curl", mirror, curl("-r", middle, times=64), 64 * (16 << 20), repeat),
        _figure("warm, whole, huggingface_hub", mirror, client, size, repeat),
    ]


def _figure(name: str, mirror: stand.Mirror, run: Callable[[int], None], size: int, repeat: int) -> Figure:
    walls, costs = [], []
    for number in range(repeat):
        cpu, began = mirror.cpu_seconds(), time.perf_counter()
        run(number)
        walls.append(time.perf_counter() - began)
        costs.append(mirror.cpu_seconds() - cpu)
    return Figure(name, statistics.median(walls), statistics.median(costs), size)


def _run(*command: str) -> None:
    core = _core(1)
    prefix = ("taskset", "-c", core) if core else ()
    subprocess.run([*prefix, *command], check=True)


def _core(number: int) -> str | None:
    """The `number`-th core we may use, when there are two and `taskset` to hold a process to one."""
    cores = sorted(os.sched_getaffinity(0))
    return str(cores[number]) if len(cores) > 1 and shutil.which("taskset") else None


if __name__ == "__main__":
    raise SystemExit(main())
