"""A synthetic Hub and a mirror in front of it, as real processes on loopback, for the demo and for measuring."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 60.0


class Mirror:
    """A running mirror: where it is, what it has counted, what it has cost."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.endpoint = f"http://{facts['data']}"
        self.admin = f"http://{facts['admin']}"
        self.pids: list[int] = [facts["pid"], *facts["workers"]]

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.endpoint.removeprefix("http://").rpartition(":")
        return host, int(port)

    def at_commit(self, repo: str, file: str) -> str:
        """The path of the file under its commit, where `main` leads to."""
        command = ["curl", "-sfI", f"{self.endpoint}/{repo}/resolve/main/{file}"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return next(line.split()[1] for line in said.splitlines() if line.lower().startswith("location:"))

    def counters(self) -> dict[str, float]:
        """The byte counters of /metrics, by name and labels."""
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=PATIENCE) as page:
            lines = page.read().decode().splitlines()
        wanted = ("penstock_response_bytes", "penstock_upstream_bytes")
        kept = (line.rpartition(" ") for line in lines if line.startswith(wanted))
        return {name: float(value) for name, _, value in kept}

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(_cpu_seconds(pid) for pid in self.pids)


def _cpu_seconds(pid: int) -> float:
    # As clock_getcpuclockid(3) has it: finer than the ticks of /proc, of which a request takes a thousandth.
    return time.clock_gettime((~pid << 3) | 2)


@contextlib.contextmanager
def hub(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """`python -m bench.hub` with `options`; gives its ready file."""
    ready = folder / "hub.json"
    command = [sys.executable, "-m", "bench.hub", "--listen", "127.0.0.1:0", "--cdn", "127.0.0.1:0"]
    with started([*command, *options, "--ready-file", str(ready)], ready, folder / "hub.log") as facts:
        yield facts


@contextlib.contextmanager
def mirror(folder: Path, origin: str, *options: str, pinned: str | None = None) -> Iterator[Mirror]:
    """`penstock serve` in front of `origin` with a disk in `folder`; `pinned` is a CPU list for taskset."""
    ready = folder / "mirror.json"
    command = [sys.executable, "-m", "proxy.cli.main", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--origin", origin, "--origin-redirect-host", "127.0.0.1", "--origin-allow-private"]
    command += ["--disk", f"{folder}/disk=8GiB", "--access-log", "", "--ready-file", str(ready), *options]
    prefix = ["taskset", "-c", pinned] if pinned else []
    with started([*prefix, *command], ready, folder / "mirror.log") as facts:
        yield Mirror(facts)


@contextlib.contextmanager
def started(command: list[str], ready: Path, log: Path) -> Iterator[dict[str, Any]]:
    """The program, from when it has written its ready file; ended by its own pid."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield _when_ready(process, ready, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _when_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"error: {process.args!r} did not start:\n{log.read_text()}")
        time.sleep(0.02)
    return dict(json.loads(ready.read_bytes()))
