"""The machine and the versions under a run, so that nobody compares two machines unawares."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .record import Environment

_PACKAGES = ("penstock", "aiohttp", "uvloop", "hdrhistogram")
_GIT_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Which processors the mirror is held to, and which are left for the Hub and the load; None: all of them."""

    mirror: frozenset[int] | None
    load: frozenset[int] | None

    def __str__(self) -> str:
        if self.mirror is None or self.load is None:
            return "nothing is pinned: there is only one core"
        return f"mirror on {_listed(self.mirror)}, synthetic Hub and load on {_listed(self.load)}"


def divided(cores: frozenset[int], workers: int) -> Cores:
    """A core for each worker of the mirror, and at least one for the load."""
    if len(cores) < 2:
        return Cores(None, None)
    first = frozenset(sorted(cores)[: min(workers, len(cores) - 1)])
    return Cores(first, cores - first)


def environment(pinning: str) -> Environment:
    return Environment(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        versions={"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        revision=_revision(),
        pinning=pinning,
    )


def _listed(cores: frozenset[int]) -> str:
    return ("core " if len(cores) == 1 else "cores ") + ", ".join(str(core) for core in sorted(cores))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _revision() -> str | None:
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(folder), *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_PATIENCE)
        return done.stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        return f"{head}+" if git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.SubprocessError):
        return None
