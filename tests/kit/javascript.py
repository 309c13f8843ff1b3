"""The real @huggingface/hub under node, in a process of its own, with a cache of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .clients import DEADLINE, Outcome, ended_within
from .node import REPO_ROOT

FOLDER = REPO_ROOT / "tests" / "clients" / "js"
PACKAGE = FOLDER / "node_modules" / "@huggingface" / "hub" / "package.json"


@dataclass(frozen=True, slots=True)
class Script:
    """What a run of calls came to, and every address it fetched."""

    outcomes: tuple[Outcome, ...]
    fetched: tuple[str, ...]

    def strangers(self, endpoint: str) -> set[str]:
        """Hosts other than the endpoint's that were asked."""
        return {urlsplit(line.partition(" ")[2]).netloc for line in self.fetched} - {urlsplit(endpoint).netloc}


async def javascript(endpoint: str, home: Path, calls: list[dict[str, Any]], *, token: str = "") -> Script:
    """Make the calls, one after another. Raises AssertionError when node or the package is missing, or fails."""
    node = shutil.which("node")
    assert node is not None, "node is not installed: apt-get install -y nodejs npm"
    assert PACKAGE.exists(), f"@huggingface/hub is not installed in {FOLDER}: run `make test`"
    process = await asyncio.create_subprocess_exec(
        node,
        str(FOLDER / "driver.mjs"),
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(home), "HF_HOME": str(home)},
        cwd=home,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    written = home / "outcomes.json"
    job = json.dumps({"endpoint": endpoint, "token": token, "calls": calls, "outcomes": str(written)}).encode()
    _, said = await ended_within(process, DEADLINE, job)
    assert process.returncode == 0, f"node ended with {process.returncode}:\n{said.decode()}"
    result = json.loads(written.read_bytes())
    outcomes = tuple(Outcome(**one | {"error": tuple(one.get("error", ()))}) for one in result["outcomes"])
    return Script(outcomes, tuple(result["fetched"]))
