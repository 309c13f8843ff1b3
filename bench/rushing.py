"""Load on a mirror by processes of `bench.rush`, and what both have taken for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .stand import Mirror

CONNECTIONS: Final = 16
"""Of all processes together."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is asked for: a file of `size` bytes, at its commit."""

    title: str
    repo: str
    file: str
    size: int
    fields: tuple[str, ...] = ()


def rushed(mirror: Mirror, kind: Kind, cores: Sequence[str | None], seconds: float) -> tuple[float, float, float]:
    """Answers per second, and how much of a core the mirror and the load have taken: a process of load for each of
    `cores` (CPU lists for taskset; None: any core). Raises SystemExit when the load fails."""
    command = [sys.executable, "-m", "bench.rush", "{}:{}".format(*mirror.address)]
    command += [mirror.at_commit(kind.repo, kind.file), "--size", str(kind.size), "--seconds", str(seconds)]
    command += ["--connections", str(max(1, CONNECTIONS // len(cores)))]
    command += [word for field in kind.fields for word in ("--field", field)]
    before = mirror.cpu_seconds()
    running = [subprocess.Popen([*_held(core), *command], stdout=subprocess.PIPE) for core in cores]
    said = [one.communicate()[0] for one in running]
    if any(one.returncode for one in running):
        raise SystemExit("error: the load failed")
    ours = mirror.cpu_seconds() - before
    told = [json.loads(one) for one in said]
    took = max(one["seconds"] for one in told)
    answers = sum(one["received"] for one in told) / kind.size
    return answers / took, ours / took, sum(one["cpu"] for one in told) / took


def _held(core: str | None) -> list[str]:
    return ["taskset", "-c", core] if core is not None else []
