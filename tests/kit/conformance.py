"""The public suite of tests for HTTP caches (http-cache-tests, cache-tests.fyi), run by node against a cache of ours.

    python -m tests.kit.conformance              every test that fails, through a penstock started for it
    python -m tests.kit.conformance vary-match   these tests, with every message that went in and out

A test of the suite is *required* (the RFC says so), *optimal* (the RFC allows more work, a good cache does less), or a
*check* (caches differ, and none is wrong). What depends on a test that failed is not judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .clients import ended_within
from .node import REPO_ROOT, START_WITHIN
from .nursery import ENTRY, born
from .waiting import until

FOLDER = REPO_ROOT / "tests" / "conformance"
PACKAGE = FOLDER / "node_modules" / "http-cache-tests" / "package.json"
DEADLINE = 120.0
"""Seconds for the whole suite; its pauses alone, of three seconds each, take about ten."""
AT_ONCE = 180
"""Tests under way at a time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one test came to. `why` it failed, empty if it did not; `judged`: what it depends on has passed."""

    id: str
    suite: str
    name: str
    kind: str
    passed: bool
    judged: bool
    why: str


@dataclass
class CacheSuite:
    """The suite with its origin up, not run yet."""

    port: int
    folder: Path
    _process: asyncio.subprocess.Process

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, base: str, only: Sequence[str] | None = None) -> list[Verdict]:
        """Run all tests, or those named, through the cache at `base`."""
        outcomes = self.folder / "outcomes.json"
        job = {"base": base, "only": only, "outcomes": str(outcomes), "at_once": AT_ONCE}
        _, said = await ended_within(self._process, DEADLINE, json.dumps(job).encode() + b"\n")
        if only:
            print(said.decode())
        assert self._process.returncode == 0, f"node ended with {self._process.returncode}:\n{said.decode()}"
        return judged(json.loads(outcomes.read_bytes()))


@contextlib.asynccontextmanager
async def cache_suite(folder: Path) -> AsyncIterator[CacheSuite]:
    """The suite's origin on a port of its own. Raises AssertionError when node or the package is missing."""
    node = shutil.which("node")
    assert node is not None, "node is not installed: apt-get install -y nodejs npm"
    assert PACKAGE.exists(), f"http-cache-tests is not installed in {FOLDER}: run `make test`"
    process = await asyncio.create_subprocess_exec(
        node,
        str(FOLDER / "cache.mjs"),
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        said = await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        yield CacheSuite(json.loads(said)["port"], folder, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def judged(found: list[dict[str, object]]) -> list[Verdict]:
    """The verdicts on what the driver wrote."""
    passed = {one["id"] for one in found if one["passed"]}
    verdicts = []
    for one in found:
        depends_on = one.pop("depends_on")
        assert isinstance(depends_on, list)
        verdicts.append(Verdict(**one, judged=passed.issuperset(depends_on)))  # type: ignore[arg-type]
    return verdicts


@dataclass(frozen=True, slots=True)
class Started:
    """Where clients and operators of a node come in."""

    url: str
    admin: str


@contextlib.asynccontextmanager
async def penstock_before(origin: str, folder: Path, *more: str) -> AsyncIterator[Started]:
    """A `penstock serve` before `origin`, started with nothing but what the command line must have, and `more`."""
    ready, said = folder / "ready.json", folder / "said.txt"
    words = ("serve", "--origin", origin, "--origin-kind", "http", "--disk", f"{folder}/disk=256MiB")
    places = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", str(ready))
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8"}
    with said.open("wb") as output:
        child = await born(
            ("-m", ENTRY, *words, *places, *more), folder=REPO_ROOT, environment=environment, output=output
        )
    try:
        await until(lambda: ready.exists() or child.returncode is not None, "penstock is ready", START_WITHIN)
        assert ready.exists(), f"penstock ended with {child.returncode}:\n{said.read_text()}"
        standing = json.loads(ready.read_text())
        yield Started(f"http://{standing['data']}", standing["admin"])
    finally:
        child.kill()
        await child.wait()


async def _by_hand(only: list[str]) -> None:
    """What fails, for whoever mends it: `python -m tests.kit.conformance [ID ...]`."""
    with tempfile.TemporaryDirectory() as folder:
        async with cache_suite(Path(folder)) as suite, penstock_before(suite.origin, Path(folder)) as node:
            verdicts = await suite.run(node.url, only or None)
    for one in sorted(verdicts, key=lambda one: (one.kind, one.suite)):
        if not one.passed or only:
            print(f"{one.kind:9} {'' if one.judged else '(depends)':9} {one.id:45} {one.why}")
    print(Counter((one.kind, "passed" if one.passed else "failed") for one in verdicts))


if __name__ == "__main__":
    asyncio.run(_by_hand(sys.argv[1:]))
